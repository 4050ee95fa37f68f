"""Unguessable text. Straight from the operating system: importing `secrets` would cost a tenth of the mock's start."""

from __future__ import annotations

import os

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_FAIR = 256 - 256 % len(_LETTERS)  # bytes from here on would favour the first letters


def random_text(length: int) -> str:
    """Return `length` random letters and digits."""
    text = ""
    while len(text) < length:
        text += "".join(_LETTERS[byte % len(_LETTERS)] for byte in os.urandom(length) if byte < _FAIR)
    return text[:length]


def random_hex(length: int) -> str:
    """Return `length` random hexadecimal digits."""
    return os.urandom((length + 1) // 2).hex()[:length]
