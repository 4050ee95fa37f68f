"""Get the workspace of a scoring-mock with azureml-core, once the environment variables lead to it."""

import time

import jwt  # PyJWT: azureml-core brings it
from azureml.core import Workspace
from azureml.core.authentication import TokenAuthentication

TENANT = "00000000-0000-0000-0000-000000000003"


def any_token(audience: str) -> str:
    """Return a token. The SDK reads `exp` and `tid` in it; the mock takes every token."""
    return jwt.encode({"aud": audience, "exp": int(time.time()) + 3600, "tid": TENANT}, "k" * 32)


def connect() -> Workspace:
    """Return the one workspace that a mock has."""
    return Workspace(
        subscription_id="00000000-0000-0000-0000-000000000001",
        resource_group="scoring-mock",
        workspace_name="scoring-mock",
        auth=TokenAuthentication(any_token),
    )


if __name__ == "__main__":
    from azureml.core.webservice import Webservice

    for service in Webservice.list(connect()):
        print(service.name, service.scoring_uri, service.swagger_uri)
