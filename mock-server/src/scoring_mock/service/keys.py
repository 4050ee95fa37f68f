"""The two static keys of a service with key authentication."""

from __future__ import annotations

from typing import Literal

from scoring_mock.service.randomness import random_text

KeyName = Literal["primary", "secondary"]
KEY_NAMES: tuple[KeyName, ...] = ("primary", "secondary")

_LENGTH = 32


def new_key() -> str:
    """Return a random key: 32 letters and digits, like those of Azure Machine Learning."""
    return random_text(_LENGTH)


class KeyPair:
    """Primary and secondary key. Both open the service at any time (W23)."""

    __slots__ = ("primary", "secondary")

    def __init__(self, primary: str | None = None, secondary: str | None = None) -> None:
        self.primary = primary or new_key()
        self.secondary = secondary or new_key()

    def regenerate(self, name: KeyName, value: str | None = None) -> str:
        """Replace one key by `value`, or by a random one; the old one is refused from now on (W23)."""
        fresh = value or new_key()
        setattr(self, name, fresh)
        return fresh
