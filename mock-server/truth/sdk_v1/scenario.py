"""What azureml-core does with services of the mock. Runs in the environment of the SDK."""

from __future__ import annotations

import sys
import warnings
from datetime import datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from azureml.core.model import Model
from azureml.core.webservice import AciWebservice, AksWebservice, Webservice
from azureml.exceptions import WebserviceException
from sdk.proof import BODY, PREDICTIONS, Facts, equal, raises, status_of, true

from sdk_v1.connect import connect

warnings.simplefilter("ignore")  # azureml-core warns of its own end

facts = Facts()
workspace = connect()
equal("Workspace(...) finds the workspace through ARM", workspace.location, "eastus")


def uris(name: str) -> tuple[str, str]:
    """Return scoring and swagger URI as the admin plane has them."""
    described = facts.services[name]["uris"]["http"]
    return described["scoring"], described["swagger"]


# -- Webservice(ws, name) and the four properties --------------------------------------------------------------------

for name, kind, key, token in (
    ("aks-key", AksWebservice, True, False),
    ("aks-token", AksWebservice, False, True),
    ("aks-off", AksWebservice, False, False),
    ("aci-off", AciWebservice, False, False),
    ("aci-key", AciWebservice, True, False),
):
    service = Webservice(workspace, name)
    equal(f"Webservice(ws, {name!r}) is a {kind.__name__}", type(service), kind)
    equal(f"{name}: auth_enabled", service.auth_enabled, key)
    equal(f"{name}: token_auth_enabled", service.token_auth_enabled, token)
    equal(f"{name}: scoring_uri and swagger_uri", (service.scoring_uri, service.swagger_uri), uris(name))

service = Webservice(workspace, "aks-key")
equal("tags", service.tags, {"team": "a", "env": "test"})
equal("properties", service.properties, {"hash": "1"})
equal("description, state, error", (service.description, service.state, service.error), ("with keys", "Healthy", None))
equal("scoring_timeout_ms has its documented default", service.scoring_timeout_ms, 60000)
true("created_time is a time with an offset", service.created_time.tzinfo is not None)
raises(
    "Webservice(ws, 'missing') is not found",
    WebserviceException,
    "WebserviceNotFound: Webservice with name missing not found",
    lambda: Webservice(workspace, "missing"),
)
raises(
    "Webservice(ws, name) does not find an endpoint of v2",
    WebserviceException,
    "WebserviceNotFound",
    lambda: Webservice(workspace, "endpoint"),
)

# -- Webservice.list -------------------------------------------------------------------------------------------------


def listed(**filters: object) -> list[str]:
    """Return the names that a list gives, sorted."""
    return sorted(found.name for found in Webservice.list(workspace, **filters))


everything = sorted(name for name in facts.services if name != "endpoint")
true("there are more services than one page holds", len(everything) > 30)
equal("Webservice.list(ws) follows nextLink to all of them", listed(), everything)
equal("list by compute_type", listed(compute_type="ACI"), ["aci-key", "aci-off"])
equal("list by image_name", listed(image_name="own-image"), ["aks-off"])
equal("list by image_id", listed(image_id="own-image:1"), ["aks-off"])
digest = Webservice(workspace, "aks-off").image_digest
equal("list by image_digest", listed(image_digest=digest), ["aks-off"])
equal("list by model_name", listed(model_name="ridge"), ["aks-token"])
equal("list by model_id", listed(model_id="ridge:7"), ["aks-token"])
equal("list by model_id of another version", listed(model_id="ridge:1"), [])
equal("list by a tag", listed(tags=["team"]), ["aci-off", "aks-key", "aks-token"])
equal("list by a tag and its value", listed(tags=[["team", "a"]]), ["aci-off", "aks-key"])
equal("list by two tags", listed(tags=[["team", "a"], "env"]), ["aks-key"])
equal("list by a property", listed(properties=["hash"]), ["aks-key"])
equal("list by a property and its value", listed(properties=[["hash", "2"]]), [])
equal("list by two filters", listed(compute_type="AKS", tags=[["team", "a"]]), ["aks-key"])

# -- keys ------------------------------------------------------------------------------------------------------------

described = facts.services["aks-key"]
primary, secondary = service.get_keys()
equal("get_keys()", (primary, secondary), (described["primary_key"], described["secondary_key"]))
equal("run() with a key, to the last digit", service.run(BODY), PREDICTIONS)
service.regen_key("Primary")
fresh, same = service.get_keys()
true("regen_key('Primary') changes the primary key", fresh != primary)
equal("regen_key('Primary') leaves the secondary key", same, secondary)
equal("the old key is refused", status_of(service.scoring_uri, primary), 401)
equal("the new key is taken", status_of(service.scoring_uri, fresh), 200)
service.regen_key("secondary", set_key="chosen-by-hand")
equal("regen_key('secondary', set_key=...)", service.get_keys(), (fresh, "chosen-by-hand"))
equal("run() after the keys were changed", service.run(BODY), PREDICTIONS)
raises(
    "get_keys() of a service with tokens shows the error of the service",
    WebserviceException,
    '"statusCode":400',
    lambda: Webservice(workspace, "aks-token").get_keys(),
)

# -- tokens ----------------------------------------------------------------------------------------------------------

service = Webservice(workspace, "aks-token")
token = service.get_access_token()
equal("get_access_token(): token_type", token.token_type, "Bearer")
true("get_access_token(): refresh comes before expiry", datetime.now() < token.refresh_after < token.expiry_on)
true("get_access_token(): it is good for half a day at least", token.expiry_on - datetime.now() > timedelta(hours=12))
equal("the token opens the service", status_of(service.scoring_uri, token.access_token), 200)
text, refresh_by = service.get_token()
equal("get_token() gives a token and a datetime", (type(text), type(refresh_by)), (str, datetime))
equal("the token of get_token() opens the service", status_of(service.scoring_uri, text), 200)
equal("a token of one service does not open another", status_of(uris("aks-key")[0], text), 401)
equal("run() with a token", service.run(BODY), PREDICTIONS)
equal("run() without authentication", Webservice(workspace, "aci-off").run(BODY), PREDICTIONS)
equal("run() on ACI with a key", Webservice(workspace, "aci-key").run(BODY), PREDICTIONS)

# -- update ----------------------------------------------------------------------------------------------------------

service = Webservice(workspace, "aks-key")
service.update(auth_enabled=False)
equal("update(auth_enabled=False)", service.auth_enabled, False)
equal("... and no key is asked for", status_of(service.scoring_uri, None), 200)
service.wait_for_deployment()
equal("... and wait_for_deployment() sees it end", service.state, "Healthy")
service.update(auth_enabled=True)
equal("update(auth_enabled=True)", (service.auth_enabled, status_of(service.scoring_uri, None)), (True, 401))
service.update(auth_enabled=False, token_auth_enabled=True)
again = Webservice(workspace, "aks-key")
flags = (again.auth_enabled, again.token_auth_enabled)
equal("update(auth_enabled=False, token_auth_enabled=True)", flags, (False, True))
equal("... and a key no longer opens it", status_of(service.scoring_uri, fresh), 401)
equal("... and a token does", status_of(service.scoring_uri, again.get_access_token().access_token), 200)
service.update(tags={"team": "c"}, description="new words", scoring_timeout_ms=9000)
again = Webservice(workspace, "aks-key")
equal("update(tags=..., description=...)", (again.tags, again.description), ({"team": "c"}, "new words"))
equal("update(scoring_timeout_ms=...)", again.scoring_timeout_ms, 9000)
equal("update() keeps properties", again.properties["hash"], "1")
again.add_tags({"more": "1"})
equal("add_tags()", Webservice(workspace, "aks-key").tags, {"team": "c", "more": "1"})
aci = Webservice(workspace, "aci-off")
aci.update(auth_enabled=True)
equal("update(auth_enabled=True) on ACI", (aci.auth_enabled, aci.run(BODY)), (True, PREDICTIONS))

# -- deploy, delete --------------------------------------------------------------------------------------------------

model = Webservice(workspace, "aks-token").models[0]
equal("a service names its model", (model.name, model.version), ("ridge", 7))
config = AksWebservice.deploy_configuration(compute_target_name="mock-aks", tags={"made": "here"})
service = Model.deploy(workspace, "fresh", [model], deployment_config=config)
service.wait_for_deployment()
equal("Model.deploy() on AKS has keys by default", (service.state, service.auth_enabled), ("Healthy", True))
equal("... keeps its model and tags", (service.models[0].id, service.tags), ("ridge:7", {"made": "here"}))
equal("... and can be called", service.run(BODY), PREDICTIONS)
raises(
    "Model.deploy() of a name that is taken",
    WebserviceException,
    "Service with name fresh already exists",
    lambda: Model.deploy(workspace, "fresh", [model], deployment_config=config),
)
aci = Model.deploy(workspace, "fresh-aci", [model], deployment_config=AciWebservice.deploy_configuration())
aci.wait_for_deployment()
equal("Model.deploy() on ACI has no authentication by default", (aci.auth_enabled, aci.run(BODY)), (False, PREDICTIONS))
true("get_logs() gives text", "fresh" in service.get_logs())
service.delete()
raises("delete()", WebserviceException, "WebserviceNotFound", lambda: Webservice(workspace, "fresh"))
