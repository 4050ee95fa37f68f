"""The internals of urllib3 and http.client that the time limits rest on are still there and still used."""

import re
from collections import Counter
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import scoring_client
from raw_server import RawServer, reply
from scoring_client import ScoringClient

HOOKS = [
    (scoring_client._Connection, "connect"),
    (scoring_client._Connection, "_new_conn"),
    (scoring_client._Connection, "putrequest"),
    (scoring_client._Response, "_read_status"),
    (scoring_client._Response, "begin"),
    (scoring_client._Socket, "recv_into"),
    (scoring_client._Socket, "sendall"),
]


@pytest.mark.parametrize(("owner", "name"), HOOKS, ids=lambda value: getattr(value, "__name__", value))
def test_hook_is_used(serve: Callable[..., RawServer], monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
    calls = Counter[str]()
    hook = getattr(owner, name)

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls[name] += 1
        return hook(self, *args, **kwargs)

    monkeypatch.setattr(owner, name, counted)
    with ScoringClient(serve(reply([0.5])).uri) as client:
        assert client.score([[1.5]]) == [0.5]
    assert calls[name] >= 1, f"urllib3 {metadata.version('urllib3')} no longer calls {owner.__name__}.{name}"


def test_overridden_internals_exist() -> None:
    for owner, name in HOOKS:
        assert any(name in vars(base) for base in owner.__mro__[1:]), f"no {name} below {owner.__name__}"


def test_the_installed_urllib3_is_in_the_tested_range() -> None:
    requirements = (Path(__file__).resolve().parent.parent / "requirements.txt").read_text()
    wanted = re.search(r"^urllib3>=(\d+)\.(\d+),<(\d+)\.(\d+)$", requirements, re.MULTILINE)
    assert wanted is not None
    low, high = (int(wanted[1]), int(wanted[2])), (int(wanted[3]), int(wanted[4]))
    major, minor = metadata.version("urllib3").split(".")[:2]
    assert low <= (int(major), int(minor)) < high
