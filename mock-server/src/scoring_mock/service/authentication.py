"""Who may call a service: nobody asked, a key, or a token. Always at the front end, never in the container (W22)."""

from __future__ import annotations

from scoring_mock.profiles.catalogue import AuthMode
from scoring_mock.service.clock import Clock
from scoring_mock.service.keys import KeyName, KeyPair

_SCHEME = "Bearer "


class Authenticator:
    """Decides over the value of the Authorization header.

    The value is `Bearer <key-or-token>`, spelt exactly so: one blank, no other scheme, no other case (W22).
    """

    def __init__(self, mode: AuthMode, keys: KeyPair, clock: Clock) -> None:
        self.mode = mode
        self.keys = keys
        self._clock = clock
        self._accepted: frozenset[str] = frozenset()
        self._remember_keys()

    def accepts(self, authorization: str | None) -> bool:
        """Return whether a request with this header may pass."""
        if self.mode == "off":
            return True
        return authorization in self._accepted

    def regenerate_key(self, name: KeyName, value: str | None = None) -> None:
        """Replace a key; requests with the old one are refused from now on (W23)."""
        self.keys.regenerate(name, value)
        self._remember_keys()

    def _remember_keys(self) -> None:
        self._accepted = frozenset((_SCHEME + self.keys.primary, _SCHEME + self.keys.secondary))
