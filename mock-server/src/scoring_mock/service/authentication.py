"""Who may call a service: anybody, holders of a key, or of a token. Checked at the front end only (W22)."""

from __future__ import annotations

from scoring_mock.profiles.catalogue import AuthMode
from scoring_mock.service.keys import KeyName, KeyPair
from scoring_mock.service.tokens import TokenIssuer

_SCHEME = "Bearer "


class Authenticator:
    """Decides over the value of the Authorization header.

    The value is `Bearer <key-or-token>`, spelt exactly so: one blank, no other scheme, no other case (W22). With keys
    no token opens the service, and with tokens no key.
    """

    def __init__(self, mode: AuthMode, keys: KeyPair, tokens: TokenIssuer) -> None:
        self.mode = mode
        self.keys = keys
        self.tokens = tokens
        self._accepted: frozenset[str | None] = frozenset()
        self._remember_keys()

    def accepts(self, authorization: str | None) -> bool:
        """Return whether a request with this header may pass."""
        if self.mode == "key":
            return authorization in self._accepted
        if self.mode == "off":
            return True
        return (
            authorization is not None
            and authorization.startswith(_SCHEME)
            and self.tokens.accepts(authorization[len(_SCHEME) :])
        )

    def regenerate_key(self, name: KeyName, value: str | None = None) -> None:
        """Replace a key; requests with the old one are refused from now on (W23)."""
        self.keys.regenerate(name, value)
        self._remember_keys()

    def _remember_keys(self) -> None:
        self._accepted = frozenset((_SCHEME + self.keys.primary, _SCHEME + self.keys.secondary))
