"""Tokens of a service with token authentication: shaped like a JWT of 1 to 2 kB, to be renewed before they expire."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass

from scoring_mock.service.clock import Clock
from scoring_mock.service.randomness import random_hex

# Twelve hours to the time of renewal, and twelve more to the end: a comment in the v1 SDK says so.
REFRESH_AFTER = 12 * 3600.0
LIFETIME = 24 * 3600.0

_PADDING = 600  # random bytes that give a token the length of a real one


@dataclass(frozen=True, slots=True)
class Token:
    """A token, and its times in whole seconds since the epoch (W36); `expires` is always after `refresh_by`."""

    text: str
    refresh_by: int
    expires: int


class TokenIssuer:
    """Issues the tokens of one service, and knows which of them are still good.

    Only the very text that was issued is accepted: an altered token, or one of another service, is unknown.
    """

    def __init__(
        self, service: str, clock: Clock, *, refresh_after: float = REFRESH_AFTER, lifetime: float = LIFETIME
    ) -> None:
        """Make an issuer; `refresh_after` and `lifetime` are seconds from the issue of a token."""
        self._service = service
        self._clock = clock
        self._refresh_after = refresh_after
        self._lifetime = lifetime
        self._secret = os.urandom(32)
        self._expiries: dict[str, int] = {}

    def issue(self) -> Token:
        """Return a new token; those that have expired are forgotten."""
        now = self._clock.now()
        self._expiries = {text: expires for text, expires in self._expiries.items() if expires > now}
        refresh_by = int(now + self._refresh_after)
        expires = max(int(now + self._lifetime), refresh_by + 1)
        token = Token(self._sign(int(now), expires), refresh_by, expires)
        self._expiries[token.text] = expires
        return token

    def accepts(self, text: str) -> bool:
        """Return whether this is a token of the service that has not expired."""
        expires = self._expiries.get(text)
        return expires is not None and self._clock.now() < expires

    def expire_all(self) -> int:
        """Let every token issued so far expire; returns how many there were."""
        expired = len(self._expiries)
        self._expiries.clear()
        return expired

    def _sign(self, issued: int, expires: int) -> str:
        import hashlib  # only services with tokens pay for it
        import hmac

        header = {"alg": "HS256", "typ": "JWT"}
        claims = {
            "iss": "scoring-mock",
            "aud": self._service,
            "iat": issued,
            "nbf": issued,
            "exp": expires,
            "jti": random_hex(32),
            "padding": _base64(os.urandom(_PADDING)),
        }
        signed = ".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
        signature = hmac.new(self._secret, signed.encode(), hashlib.sha256).digest()
        return f"{signed}.{_base64(signature)}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
