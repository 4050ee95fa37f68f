"""The README's fences are parts of this file, and work."""

import re
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from raw_server import Play, RawServer, close, reply
from scoring_client import AccessToken, ReplyError, ScoringClient, ServiceError, TransportError

Serve = Callable[..., RawServer]
HERE = Path(__file__).resolve()
README = HERE.parent.parent / "README.md"


def test_score(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    server = serve(reply([0.5, 0.25]))
    scoring_uri, key = server.uri, "Zk3vWq8RsT"
    # begin: score
    with ScoringClient(scoring_uri, key=key) as client:
        predictions = client.score(
            [
                [0.0199132141783263, 0.0506801187398187, 0.104808689473925, 0.0700725447072635],
                [-0.0127796318808497, -0.044641636506989, 0.0606183944448076, 0.0528581912385822],
            ]
        )
    print(predictions)
    # end: score
    assert capsys.readouterr().out == "[0.5, 0.25]\n"


@pytest.mark.parametrize(
    ("play", "cell", "text"),
    [
        (reply([0.5]), 1.5, "[0.5]"),
        (close(), float("nan"), "fix the rows: row 0, column 0 is NaN: JSON has no such number"),
        (reply({"message": "no"}, 400), 1.5, "the service answered 400 no"),
        (close(), 1.5, "no answer, time limit passed: False"),
        (reply([]), 1.5, "no predictions: the reply has 0 predictions for 1 rows"),
    ],
)
def test_errors(serve: Serve, capsys: pytest.CaptureFixture[str], play: Play, cell: float, text: str) -> None:
    client, rows = ScoringClient(serve(play).uri, max_retries=0), [[cell]]
    # begin: errors
    try:
        print(client.score(rows))
    except (ValueError, TypeError) as error:
        print("fix the rows:", error)
    except ServiceError as error:
        print("the service answered", error.status, error.message)
    except TransportError as error:
        print("no answer, time limit passed:", error.timed_out)
    except ReplyError as error:
        print("no predictions:", error.reason)
    # end: errors
    assert capsys.readouterr().out == text + "\n"


def test_token(
    serve: Serve, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = serve(reply({}, 503, ("retry-after-ms", "1")), reply({"result": [0.5]}))
    scoring_uri = server.uri
    (tmp_path / "token").write_text("Zk3vWq8RsT\n")
    monkeypatch.chdir(tmp_path)

    # begin: token
    def read_token() -> AccessToken:
        token = Path("token").read_text().rstrip("\n")
        return AccessToken(token, refresh_by=time.time() + 300)

    with ScoringClient(scoring_uri, token_provider=read_token, on_retry=print) as client:
        print(client.score_json({"data": [[1.5]], "method": "predict"}))
    # end: token
    told, answer = capsys.readouterr().out.splitlines()
    assert told.startswith("Retry(attempt=1, wait=")
    assert told.endswith(", reason='503')")
    assert answer == "{'result': [0.5]}"
    assert server.requests[1].header("Authorization") == "Bearer Zk3vWq8RsT"


def test_the_text_of_an_error(serve: Serve) -> None:
    server = serve(*[reply({"message": "busy"}, 503, ("x-request-id", "abc"))] * 4)
    with ScoringClient(server.uri, base_delay=0.001) as client, pytest.raises(ServiceError) as caught:
        client.score([[1.5]])
    shown = str(caught.value).replace(server.uri, "https://host/path")
    assert f"`{shown}`" in README.read_text(encoding="utf-8")


def test_fences_are_cut_from_this_file() -> None:
    readme, source = README.read_text(encoding="utf-8"), HERE.read_text(encoding="utf-8")
    shown = re.findall(r"<!-- begin: (\w+) -->\n```python\n(.*?)```\n<!-- end: \1 -->", readme, re.DOTALL)
    parts = re.findall(r"    # begin: (\w+)\n(.*?)    # end: \1\n", source, re.DOTALL)
    shown = [(name, text.replace("\n\n\n", "\n\n")) for name, text in shown]  # two empty lines at the top level
    assert shown == [(name, textwrap.dedent(text)) for name, text in parts]
    assert readme.count("```python") == len(parts)


def test_every_option_and_field_is_in_the_tables() -> None:
    readme = README.read_text(encoding="utf-8")
    options = readme.split("### Options")[1].split("### Errors")[0]
    names = [
        name for cell in re.findall(r"^\| (`.*?) \|", options, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    ]
    assert set(names) == set(ScoringClient.__init__.__kwdefaults__ or ())
    for error in (ServiceError, TransportError, ReplyError):
        [row] = re.findall(rf"^\| `{error.__name__}` .*$", readme, re.MULTILINE)
        fields = {name for name in error.__annotations__ if not name.startswith("_")}
        assert fields <= set(re.findall(r"`(\w+)`", row))
