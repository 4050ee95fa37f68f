"""A small, seeded part of `make fuzz-mock`."""

from __future__ import annotations

import pytest
from scoring_mock.wire.fuzz import PROPERTIES, run


@pytest.mark.parametrize("name", PROPERTIES)
def test_property(name: str) -> None:
    run(name, 400, seeded=True)
