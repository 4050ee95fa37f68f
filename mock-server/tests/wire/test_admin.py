"""The admin plane's own answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from scoring_mock import replies
from scoring_mock.profiles.front_end import Condition
from scoring_mock.scripts.catalogue import SCRIPTS
from scoring_mock.server import ALL_LISTENERS
from scoring_mock.service import spec
from scoring_mock.service.acts import ACTS


def test_info_is_the_first_line(mock: Any) -> None:
    assert mock.admin("/info") == mock.info


def test_services_are_made_in_order_and_dropped(mock: Any) -> None:
    made = mock.admin("/services", {"services": [{"name": "one-of-two"}, {"name": "two-of-two"}]})["services"]
    assert [service["name"] for service in made] == ["one-of-two", "two-of-two"]
    assert mock.admin("/services/drop", {"names": ["one-of-two", "two-of-two", "nobody"]}) == {"dropped": 2}
    assert mock.ask_admin("/journals", {"names": ["one-of-two"]})[0] == 400


def test_all_services_are_made_or_none(mock: Any) -> None:
    status, answer = mock.ask_admin("/services", {"services": [{"name": "good-one"}, {"name": "Bad One"}]})
    assert status == 400
    assert answer["error"].startswith("services[1].name")
    assert mock.ask_admin("/journals", {"names": ["good-one"]})[0] == 400


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("GET", "/nowhere", None, 404, "there is no call /nowhere; ADMIN.md lists them"),
        ("GET", "/services", None, 405, "/services takes POST"),
        ("POST", "/info", {}, 405, "/info takes GET"),
        ("POST", "/services/nobody/act", {"act": "x"}, 404, "there is no service 'nobody'"),
        ("POST", "/services", b"{", 400, "the body is not JSON: "),
        ("POST", "/services", b"[" * 100_000, 400, "the body is not JSON: "),
        ("POST", "/services", b"\xff", 400, "the body is not JSON: "),
        ("POST", "/services", [], 400, "the body must be an object"),
        ("POST", "/services", {"names": []}, 400, "the body must have the one member services, a list"),
        ("POST", "/journals", {"names": [1]}, 400, "names must be a list of strings"),
        ("POST", "/services/drop", {"names": "x"}, 400, "the body must have the one member names, a list"),
    ],
)
def test_mistakes_get_one_sentence(mock: Any, method: str, path: str, body: Any, status: int, error: str) -> None:
    got, answer = mock.ask_admin(path, body, method=method)
    assert got == status
    assert answer["error"].startswith(error)
    assert list(answer) == ["error"]


def test_a_listener_can_be_of_one_service_alone(mock: Any) -> None:
    first, second = mock.own_listeners("http"), mock.deploy()
    with first.connect() as raw:
        raw.send(second.request().replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        raw.rest()
    assert len(first.requests()) == 1
    assert second.requests() == []


@pytest.mark.parametrize(
    "names",
    [ALL_LISTENERS, spec._MEMBERS, replies._MEMBERS, replies._FAULTS, ACTS, SCRIPTS, get_args(Condition)],
    ids=["listeners", "spec", "reply", "faults", "acts", "scripts", "conditions"],
)
def test_the_contract_names_everything(names: Any) -> None:
    contract = (Path(__file__).parents[2] / "ADMIN.md").read_text(encoding="utf-8")
    assert [name for name in names if f"`{name}`" not in contract] == []


def test_dropping_a_service_leaves_idle_connections_to_others(mock: Any) -> None:
    dropped, other = mock.deploy(), mock.deploy()
    with dropped.connect() as raw:
        raw.send(dropped.request())
        raw.until(b"]")
        mock.admin("/services/drop", {"names": [dropped.name]})
        raw.send(other.request())
        assert raw.until(b"]").startswith(b"HTTP/1.1 200 ")


def test_dropping_a_service_ends_the_connections_of_its_own_listeners(mock: Any) -> None:
    service = mock.deploy(profile="managed-v2")
    with service.connect() as raw:
        raw.send(service.request())
        raw.until(b"]")
        mock.admin("/services/drop", {"names": [service.name]})
        assert raw.rest() == (b"", "fin")
    with pytest.raises(ConnectionRefusedError):
        service.connect()
