"""Use a generated client as its README says; run in the environment that has what the client imports.

Reads `{"base": URL, "key": key, "rows": rows}` from standard input and writes one JSON object.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import scoring_client
from pydantic import ValidationError
from scoring_client.api.default_api import DefaultApi
from scoring_client.exceptions import ApiException
from scoring_client.models.service_input import ServiceInput


def client(base: str, credential: str | None) -> DefaultApi:
    """Return a client for a base URL; the API key is the whole value of the header, as the document says."""
    configuration = scoring_client.Configuration(host=base)
    if credential is not None:
        configuration.api_key["Bearer"] = credential
    return DefaultApi(scoring_client.ApiClient(configuration))


def status(api: DefaultApi, payload: ServiceInput) -> int:
    """Return the status that a scoring call ends with."""
    try:
        api.run_ml_service(service_input_payload=payload)
    except ApiException as error:
        return int(error.status)
    return 200


def main() -> None:
    """Score with the right key, a wrong one and none, ask for health; or say that the rows are refused."""
    task = json.load(sys.stdin)
    try:
        payload = ServiceInput(data=task["rows"])
    except ValidationError as error:
        json.dump({"refused": str(error.errors()[0]["type"])}, sys.stdout)
        return
    good = client(task["base"], f"Bearer {task['key']}")
    result: dict[str, Any] = {
        "predictions": [float(score).hex() for score in good.run_ml_service(service_input_payload=payload)],
        "health": good.service_health_check(),
        "without_scheme": status(client(task["base"], task["key"]), payload),
        "wrong_key": status(client(task["base"], "Bearer wrong"), payload),
        "no_key": status(client(task["base"], None), payload),
        "bad_input": status(good, ServiceInput(data=[[1.0]])),
    }
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
