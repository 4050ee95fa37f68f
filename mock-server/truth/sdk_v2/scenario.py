"""What azure-ai-ml does with endpoints of the mock. Runs in the environment of the SDK."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from azure.ai.ml.entities import KubernetesOnlineEndpoint, ManagedOnlineEndpoint
from azure.ai.ml.exceptions import MlException, ValidationException
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from sdk.proof import BODY, PREDICTIONS, Facts, equal, raises, status_of, true

from sdk_v2.connect import connect

facts = Facts()
client = connect()
endpoints = client.online_endpoints
request = facts.home / "request.json"
request.write_text(BODY, encoding="ascii")


def invoked(name: str, **options: object) -> list[float]:
    """Return the predictions that invoke() gives."""
    predictions: list[float] = json.loads(endpoints.invoke(name, request_file=str(request), **options))
    return predictions


# -- get and list ----------------------------------------------------------------------------------------------------

managed = endpoints.get("managed-key")
described = facts.services["managed-key"]
equal("get() of a managed endpoint", type(managed), ManagedOnlineEndpoint)
uris = described["uris"]["https"]
equal(
    "scoring_uri and openapi_uri are https",
    (managed.scoring_uri, managed.openapi_uri),
    (uris["scoring"], uris["swagger"]),
)
equal("auth_mode of an endpoint with keys", managed.auth_mode, "key")
equal("provisioning_state", str(managed.provisioning_state.value), "Succeeded")
equal("tags", managed.tags, {"team": "a"})
equal("properties", managed.properties["hash"], "1")
equal("traffic, with the deployment that has none", managed.traffic, {"blue": 90, "green": 10, "idle": 0})
equal("auth_mode of an endpoint with tokens", endpoints.get("managed-token").auth_mode, "aml_token")
kubernetes = endpoints.get("kubernetes-key")
equal("get() of an endpoint on Kubernetes", type(kubernetes), KubernetesOnlineEndpoint)
equal("its scoring_uri", kubernetes.scoring_uri, facts.services["kubernetes-key"]["uris"]["http"]["scoring"])
raises("get('missing')", ResourceNotFoundError, "(ResourceNotFound) The Resource", lambda: endpoints.get("missing"))
raises("get() of a service of v1", ResourceNotFoundError, "(ResourceNotFound)", lambda: endpoints.get("webservice"))

everything = sorted(name for name in facts.services if name != "webservice")
true("there are more endpoints than one page holds", len(everything) > 30)
equal("list() follows nextLink to all of them", sorted(found.name for found in endpoints.list()), everything)

# -- keys ------------------------------------------------------------------------------------------------------------

keys = endpoints.get_keys("managed-key")
both = (keys.primary_key, keys.secondary_key)
equal("get_keys()", both, (described["primary_key"], described["secondary_key"]))
equal("invoke() with a key, to the last digit", invoked("managed-key"), PREDICTIONS)
for kind in ("primary", "secondary"):
    before = endpoints.get_keys("managed-key")
    started = time.monotonic()
    endpoints.begin_regenerate_keys("managed-key", key_type=kind).result()
    after = endpoints.get_keys("managed-key")
    true(f"begin_regenerate_keys({kind!r}) ends by its Retry-After, not after 30 s", time.monotonic() - started < 25)
    changed = {name for name in vars(before) if vars(before)[name] != vars(after)[name]}
    equal(f"begin_regenerate_keys({kind!r}) changes that key alone", changed, {f"{kind}_key"})
    old, new = vars(before)[f"{kind}_key"], vars(after)[f"{kind}_key"]
    equal(f"the old {kind} key is refused", status_of(managed.scoring_uri, old), 401)
    equal(f"the new {kind} key is taken", status_of(managed.scoring_uri, new), 200)
equal("invoke() after the keys were changed", invoked("managed-key"), PREDICTIONS)
equal("invoke() on Kubernetes", invoked("kubernetes-key"), PREDICTIONS)
raises(
    "begin_regenerate_keys() of an endpoint with tokens",
    ValidationException,
    "does not use keys",
    lambda: endpoints.begin_regenerate_keys("managed-token"),
)

# -- tokens ----------------------------------------------------------------------------------------------------------

token = endpoints.get_keys("managed-token")
equal("get_keys() of an endpoint with tokens: token_type", token.token_type, "Bearer")
equal("its times are whole numbers", (type(token.refresh_after_time_utc), type(token.expiry_time_utc)), (int, int))
true("refresh comes before expiry", time.time() < token.refresh_after_time_utc < token.expiry_time_utc)
tokened = endpoints.get("managed-token")
equal("the token opens the endpoint", status_of(tokened.scoring_uri, token.access_token), 200)
equal("a token of one endpoint does not open another", status_of(managed.scoring_uri, token.access_token), 401)
equal("invoke() with a token", invoked("managed-token"), PREDICTIONS)

# -- create, traffic, delete -----------------------------------------------------------------------------------------

made = endpoints.begin_create_or_update(ManagedOnlineEndpoint(name="fresh", auth_mode="aml_token", tags={"a": "b"}))
fresh = made.result()
equal(
    "begin_create_or_update() makes an endpoint",
    (fresh.name, fresh.auth_mode, fresh.tags),
    ("fresh", "aml_token", {"a": "b"}),
)
equal("... which ends as Succeeded", str(fresh.provisioning_state.value), "Succeeded")
raises("... and answers 404 while it has no deployment", MlException, "traffic group", lambda: invoked("fresh"))
managed.traffic = {"green": 100}
managed = endpoints.begin_create_or_update(managed).result()
equal("begin_create_or_update() moves traffic", managed.traffic, {"green": 100})
equal("... and get() shows it", endpoints.get("managed-key").traffic, {"green": 100, "blue": 0, "idle": 0})
managed.traffic = {"red": 100}
raises(
    "traffic to a deployment that is not there",
    HttpResponseError,
    "(UserError) traffic names the deployment 'red'",
    lambda: endpoints.begin_create_or_update(managed).result(),
)
endpoints.begin_delete("fresh").result()
raises("begin_delete()", ResourceNotFoundError, "(ResourceNotFound)", lambda: endpoints.get("fresh"))

# -- a named deployment comes last: from here on, the SDK sends its header with every call of the process --------------

equal("invoke(deployment_name=...)", invoked("managed-key", deployment_name="blue"), PREDICTIONS)
raises(
    "invoke() of a deployment that is not there",
    ValidationException,
    "Deployment name red not found",
    lambda: invoked("managed-key", deployment_name="red"),
)
