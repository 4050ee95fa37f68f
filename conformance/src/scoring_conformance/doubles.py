"""IEEE-754 doubles as the protocol writes them: 16 hex digits, most significant first."""

from __future__ import annotations

import struct


def to_bits(value: float) -> str:
    """``1.0`` -> ``"3ff0000000000000"``."""
    return struct.pack(">d", value).hex()


def from_bits(bits: str) -> float:
    """``"3ff0000000000000"`` -> ``1.0``."""
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    return float(value)
