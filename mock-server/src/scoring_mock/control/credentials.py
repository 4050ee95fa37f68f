"""Ask a running mock for the credentials of a service, by the way that the SDKs take: through its control plane."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from datetime import datetime
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import quote

from scoring_mock.control.workspace import Workspace

_TIMEOUT: Final = 30.0


class NoCredentialsError(Exception):
    """There are none to be had; the message is one line that says why and what to do."""


class _Refused(Exception):
    """The control plane refused."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class RunningMock:
    """A mock that runs elsewhere on this machine, found by the address of its admin plane."""

    def __init__(self, admin_url: str, workspace: Workspace | None = None) -> None:
        """Ask the admin plane where the control plane is. Raises NoCredentialsError."""
        if not admin_url.startswith(("http://", "https://")):
            raise NoCredentialsError(f"--url must be an http address, and {admin_url!r} is not")
        self._scope = (workspace or Workspace()).arm_id
        # No proxy: the mock is on this machine.
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            info = self._send(urllib.request.Request(admin_url.rstrip("/") + "/info"))  # noqa: S310
            self._control: str = info["listeners"]["control"]
            context = ssl.create_default_context(cadata=info["ca_pem"])
        except (OSError, HTTPException, ValueError, _Refused) as error:
            raise NoCredentialsError(
                f"no mock answers at {admin_url} ({error}); start one with `scoring-mock serve`, "
                "or give the address of its admin plane with --url"
            ) from None
        except (KeyError, TypeError):
            raise NoCredentialsError(f"the mock at {admin_url} has no control plane") from None
        self._open = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def keys(self, name: str) -> dict[str, str]:
        """Return `primaryKey` and `secondaryKey` of a service. Raises NoCredentialsError."""
        keys: dict[str, str] = self._ask(name, v1="listkeys", v2="listKeys")
        return keys

    def token(self, name: str) -> dict[str, Any]:
        """Return a new token of a service, with the members that the Azure CLI prints. Raises NoCredentialsError.

        v1, `az ml service get-access-token`: `accessToken`, `tokenType`, `refreshAfter`, `expiryOn`. The names are
        documented; that the times are local, in ISO 8601, as the SDK's token object has them, is simulated. v2, `az ml
        online-endpoint get-credentials`: `accessToken`, `tokenType`, `refreshAfterTimeUtc`, `expiryTimeUtc`, seconds.
        """
        token: dict[str, Any] = self._ask(name, v1="token", v2="token")
        for member in ("refreshAfter", "expiryOn"):
            if member in token:
                token[member] = datetime.fromtimestamp(token[member]).isoformat()
        return token

    def _ask(self, name: str, *, v1: str, v2: str) -> Any:
        """Ask both APIs: a service is in one of them."""
        quoted = quote(name, safe="")
        paths = (
            f"/modelmanagement/v1.0{self._scope}/services/{quoted}/{v1}",
            f"{self._scope}/onlineEndpoints/{quoted}/{v2}?api-version=2025-12-01",
        )
        for path in paths:
            headers = {"Authorization": "Bearer scoring-mock"}
            request = urllib.request.Request(self._control + path, b"", headers, method="POST")  # noqa: S310
            try:
                return self._send(request)
            except _Refused as error:
                if error.status != 404:
                    raise NoCredentialsError(str(error)) from None
            except (OSError, HTTPException, ValueError) as error:
                raise NoCredentialsError(f"the control plane {self._control} does not answer: {error}") from None
        raise NoCredentialsError(f"there is no service {name!r} in v1 or v2 (a container has no keys and no tokens)")

    def _send(self, request: urllib.request.Request) -> Any:
        try:
            with self._open.open(request, timeout=_TIMEOUT) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            with error:
                raise _Refused(error.code, _message(error.read())) from None
        except urllib.error.URLError as error:
            raise OSError(str(error.reason)) from None


def _message(body: bytes) -> str:
    """Return the sentence in an error of either API."""
    try:
        value = json.loads(body)
        if "error" in value:
            return str(value["error"]["message"])
        return str(value["details"][0]["message"] if value.get("details") else value["message"])
    except (ValueError, KeyError, TypeError, IndexError):
        return "the control plane refused without a reason"
