"""`scoring-mock keys` and `token`, asked of a mock that runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

import pytest
from scoring_mock.command import main
from scoring_mock.control.credentials import NoCredentialsError, RunningMock

from .conftest import Running


@pytest.fixture(scope="module")
def mock() -> Iterator[Running]:
    running = Running()
    running.server.registry.create(
        [
            {"name": "v1-key"},
            {"name": "v1-token", "auth": "token"},
            {"name": "v1-off", "auth": "off"},
            {"name": "v2-key", "profile": "k8s-v2"},
            {"name": "v2-token", "profile": "k8s-v2", "auth": "token"},
            {"name": "here", "profile": "container", "listeners": ["http"]},
        ]
    )
    yield running
    running.close()


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    out, error = capsys.readouterr()
    return code, out, error


@pytest.mark.parametrize("name", ["v1-key", "v2-key"])
def test_keys(mock: Running, capsys: pytest.CaptureFixture[str], name: str) -> None:
    keys = mock.service(name).keys
    code, out, _ = told(capsys, "keys", "-n", name, "--url", mock.url)
    assert (code, json.loads(out)) == (0, {"primaryKey": keys.primary, "secondaryKey": keys.secondary})
    assert told(capsys, "keys", "--raw", "-n", name, "--url", mock.url + "/") == (0, f"{keys.primary}\n", "")


def test_a_token_of_v1_as_the_azure_cli_prints_it(mock: Running, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = told(capsys, "token", "-n", "v1-token", "--url", mock.url)
    token = json.loads(out)
    assert code == 0
    assert list(token) == ["accessToken", "expiryOn", "refreshAfter", "tokenType"]  # sorted, as the CLI sorts
    assert token["tokenType"] == "Bearer"
    times = datetime.fromisoformat(token["refreshAfter"]), datetime.fromisoformat(token["expiryOn"])
    assert datetime.now() < times[0] < times[1]
    assert mock.service("v1-token").tokens.accepts(token["accessToken"])


def test_a_token_of_v2_as_the_azure_cli_prints_it(mock: Running, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = told(capsys, "token", "-n", "v2-token", "--url", mock.url)
    token = json.loads(out)
    assert list(token) == ["accessToken", "expiryTimeUtc", "refreshAfterTimeUtc", "tokenType"]
    assert mock.service("v2-token").tokens.accepts(token["accessToken"])


def test_a_raw_token_is_the_token_alone(mock: Running, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, error = told(capsys, "token", "--raw", "-n", "v1-token", "--url", mock.url)
    assert (code, error) == (0, "")
    assert mock.service("v1-token").tokens.accepts(out.removesuffix("\n"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("token", "-n", "v1-key"), "Token authentication is not enabled for the service v1-key"),
        (("keys", "-n", "v1-token"), "Key authentication is not enabled for the service v1-token"),
        (("keys", "-n", "v1-off"), "Key authentication is not enabled"),
        (("keys", "-n", "v2-token"), "has authMode AMLToken, not Key"),
        (("keys", "-n", "missing"), "there is no service 'missing'"),
        (("keys", "-n", "here"), "a container has no keys"),
        (("keys", "-n", "../x?y"), "there is no service '../x?y'"),
    ],
)
def test_what_cannot_be_had_is_one_line(
    mock: Running, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    code, out, error = told(capsys, *arguments, "--url", mock.url)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert words in error


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "127.0.0.1:8081", "http://127.0.0.1:1", "http://127.0.0.1:none"])
def test_an_address_where_no_mock_is(capsys: pytest.CaptureFixture[str], url: str) -> None:
    code, out, error = told(capsys, "keys", "-n", "any", "--url", url)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert url in error


def test_something_else_answers_there(mock: Running) -> None:
    data_plane = mock.server.info["listeners"]["http"]
    with pytest.raises(NoCredentialsError, match="no mock answers at"):
        RunningMock(data_plane)


def test_a_mock_without_a_control_plane() -> None:
    running = Running(("http", "admin"))
    try:
        with pytest.raises(NoCredentialsError, match="has no control plane"):
            RunningMock(running.url)
    finally:
        running.close()


def test_the_certificate_is_checked(mock: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Running(("http", "admin", "control"))
    try:
        monkeypatch.setitem(other.server.info["listeners"], "control", mock.server.info["listeners"]["control"])
        with pytest.raises(NoCredentialsError, match="CERTIFICATE_VERIFY_FAILED"):
            RunningMock(other.url).keys("v1-key")
    finally:
        other.close()
