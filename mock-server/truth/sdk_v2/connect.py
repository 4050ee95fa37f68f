"""Get a client for a scoring-mock with azure-ai-ml, once the environment variables lead to it."""

import time

from azure.ai.ml import MLClient
from azure.core.credentials import AccessToken


class AnyToken:
    """A credential. The mock takes every token."""

    def get_token(self, *_scopes: str, **_options: object) -> AccessToken:
        """Return a token that is good for an hour."""
        return AccessToken("any-token", int(time.time()) + 3600)


def connect() -> MLClient:
    """Return a client for the one workspace that a mock has."""
    return MLClient(
        AnyToken(),
        subscription_id="00000000-0000-0000-0000-000000000001",
        resource_group_name="scoring-mock",
        workspace_name="scoring-mock",
    )


if __name__ == "__main__":
    for endpoint in connect().online_endpoints.list():
        print(endpoint.name, endpoint.scoring_uri, endpoint.openapi_uri)
