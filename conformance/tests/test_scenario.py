"""Cases of level 2: what a right client passes, and what becomes of each way to be wrong."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest
from scoring_conformance.cases.loader import load_cases
from scoring_conformance.engine import scenario
from scoring_conformance.engine.run import Client, Run
from scoring_conformance.problems import UsageProblem

DATA = Path(__file__).parent / "data"
ADAPTER = (DATA / "level2_adapter.py").read_text(encoding="utf-8")
CASES = (DATA / "level2.yaml").read_text(encoding="utf-8")


@pytest.fixture
def cases(tmp_path):
    def load(text: str = CASES) -> dict:
        folder = tmp_path / "cases"
        folder.mkdir(exist_ok=True)
        (folder / "some.yaml").write_text(text, encoding="utf-8")
        return {case.id: case for case in load_cases(folder)}

    return load


@pytest.fixture
def adapter(made_up):
    return lambda lines="": made_up(f"{lines}\nmain()\n", preamble=ADAPTER)


def verdicts(mock, manifest, cases, deadline=10.0):
    run = Run(list(cases), [Client(manifest)], mock, "seed", deadline=deadline)
    asyncio.run(run.execute())
    return {case: verdict for (_, case), verdict in run.verdicts.items()}


def one(mock, manifest, case, deadline=10.0):
    (found,) = verdicts(mock, manifest, [case], deadline).values()
    return found


def red(verdict):
    assert verdict.verdict == "fail", verdict
    return {check.place for check in verdict.findings}


def test_a_right_client_passes_every_form(mock, adapter, cases):
    found = verdicts(mock, adapter(), cases().values())
    assert {case: (v.verdict, v.findings, v.reason) for case, v in found.items()} == {
        case: ("pass", [], "") for case in cases()
    }


SPOILED = [
    (
        "two/score",
        "def health(r, client): pass\n_send = Client.send\ndef score(r, client):\n"
        "    return {'predictions': ['3ff0000000000000'] * len(r['rows'])}",
        "/requests/count",
    ),
    (
        "two/json",
        "def score_json(r, client):\n    client.send(r, 'POST', client.uri.path, r['json'].encode(), 'a/b')\n"
        "    return {'json': '{\"a\": [9007199254740992, true]}'}",
        "/result/json",
    ),
    (
        "two/json",
        "def score_json(r, client):\n    client.send(r, 'POST', client.uri.path, r['json'].encode(), 'a/b')\n"
        "    return {'json': '{\"a\": [9007199254740993, 1]}'}",
        "/result/json_at/a/1",
    ),
    (
        "two/bytes",
        "def score_bytes(r, client):\n    client.send(r, 'POST', client.uri.path, b'x', 'image/png')\n"
        "    return {'body': 'AAEC/w=='}",
        "/requests/0/body/bytes",
    ),
    (
        "two/bytes",
        "_bytes = score_bytes\ndef score_bytes(r, client):\n    _bytes(r, client)\n    return {'body': 'AAEC'}",
        "/result/bytes",
    ),
    (
        "two/other-calls",
        "_health = health\ndef health(r, client):\n    return {'healthy': not _health(r, client)['healthy']}",
        "/steps/1/result/healthy",
    ),
    (
        "two/tokens",
        "_credential = Client.credential\nClient.credential = lambda self, fresh=False: _credential(self)",
        "/asks/equals",
    ),
    ("two/retries", "def tell(*of):\n    pass", "/retries/count"),
    (
        "two/retries",
        "_tell = tell\ndef tell(name, attempt, wait, reason):\n    _tell(name, attempt + 1, wait, reason)",
        "/retries/0/attempt",
    ),
    (
        "two/retries",
        "_tell = tell\ndef tell(name, attempt, wait, reason):\n    _tell(name, attempt, 0.0, reason)",
        "/retries/0/wait/at_least",
    ),
    (
        "two/retries",
        "_tell = tell\ndef tell(name, attempt, wait, reason):\n    _tell(name, attempt, wait, 'busy')",
        "/retries/0/reason/includes",
    ),
    (
        "two/retries",
        "_tell = tell\ndef tell(name, attempt, wait, reason):\n    _tell(name, attempt, 0.9, reason)",
        "/requests/1/after/at_least",
    ),
    (
        "two/hook-throws",
        "clients_ = clients\ndef tell(name, attempt, wait, reason):\n"
        "    say({'id': 'n', 'tell': 'retry', 'client': name, 'attempt': 1, 'wait': 0.0, 'reason': ''})\n"
        "    raise Failure('unexpected', 'the hook failed')",
        "/error/kind",
    ),
    (
        "two/refused",
        "def open_(r):\n    clients[r['client']] = Client(r['client'], r['scoring_uri'], r['options'])\n"
        "    return {}\ndef health(r, client):\n    raise Failure('argument', 'late')",
        "/error/at",
    ),
    ("two/score", "def close(r):\n    raise Failure('unexpected', 'cannot')", "/close"),
]


@pytest.mark.parametrize(("case", "lines", "place"), SPOILED)
def test_a_defect_breaks_its_check(mock, adapter, cases, case, lines, place):
    places = red(one(mock, adapter(lines), cases()[case]))
    assert place.removesuffix("/equals") in {p.removesuffix("/equals") for p in places}, places


RETRY = ", 'attempt': 1, 'wait': 0.1, 'reason': ''"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("_open = open_\ndef open_(r):\n    say({'id': 'x', 'ask': 'token', 'client': 'nobody'})\n    return _open(r)",
         "`ask` for a client that was never opened: 'nobody'"),
        ("_open = open_\ndef open_(r):\n    _open(r)\n    say({'id': 'x', 'ask': 'token', 'client': r['client']})\n"
         "    return {}", "`ask` for a client that is not open"),
        ("def close(r):\n    say({'id': 'x', 'ask': 'token', 'client': r['client']})\n    return {}",
         "`ask` while no call is under way"),
        ("def close(r):\n    say({'id': r['id'], 'ok': {}})\n    say({'id': 'x', 'tell': 'retry', "
         "'client': r['client']" + RETRY + "})\n    time.sleep(60)", "`tell` "),
        ("def close(r):\n    say({'id': 'x', 'tell': 'retry', 'client': r['client']})\n    return {}",
         "does not match retry-news.json"),
        ("def close(r):\n    say({'id': 'x', 'ask': 'the time', 'client': r['client']})\n    return {}",
         "does not match token-question.json"),
        ("numbers = itertools.repeat(0)\n_tell = tell\ndef tell(*of):\n    _tell(*of)\n    _tell(*of)",
         "an id of a question or of news was used twice: 'n0'"),
    ],
)  # fmt: skip
def test_talk_that_is_not_due_spoils_the_client(mock, adapter, cases, lines, said):
    found = verdicts(mock, adapter(lines), [cases()["two/retries"], cases()["two/score"]])
    assert {v.verdict for v in found.values()} == {"error"}
    assert any(said in v.reason for v in found.values()), [v.reason for v in found.values()]


@pytest.mark.parametrize(
    ("case", "lines", "schema"),
    [
        ("two/score", "def open_(r):\n    return {'client': 1}", "open-reply"),
        ("two/score", "def close(r):\n    return {'x': 1}", "close-reply"),
        ("two/score", "def score(r, client):\n    return {'predictions': [1.5]}", "client-score-reply"),
        ("two/json", "def score_json(r, client):\n    return {'json': {'a': 1}}", "score-json-reply"),
        ("two/bytes", "def score_bytes(r, client):\n    return {'body': [1]}", "score-bytes-reply"),
        ("two/other-calls", "def swagger(r, client):\n    return {}", "swagger-reply"),
        ("two/other-calls", "def health(r, client):\n    return {'healthy': 'yes'}", "health-reply"),
        ("two/cancel", "def cancel(r):\n    return {'cancelled': True}", "cancel-reply"),
        ("two/score", "def score(r, client):\n    raise Failure('service', 'x', attempts=1, status=500, message='', "
         "body='', request_id=None, client_request_id=None)", "client-score-reply"),
    ],
)  # fmt: skip
def test_a_reply_that_does_not_match_the_protocol(mock, adapter, cases, case, lines, schema):
    found = one(mock, adapter(lines), cases()[case])
    assert found.verdict == "error"
    assert f"does not match {schema}.json" in found.reason


@pytest.mark.parametrize("part", ["open_(r)", "close(r)", "health(r, client)"])
def test_a_hang_is_killed_and_attributed(mock, adapter, cases, part):
    found = one(mock, adapter(f"def {part}:\n    time.sleep(60)"), cases()["two/other-calls"], deadline=1.0)
    assert found.verdict == "error"
    assert "within 1 s: killed" in found.reason


def test_a_crash_costs_the_case_and_the_rest_goes_on(mock, adapter, cases):
    all_cases = cases()
    found = verdicts(mock, adapter("def swagger(r, client):\n    os._exit(7)"), all_cases.values())
    assert found["two/other-calls"].verdict == "error"
    assert "it ended with status 7" in found["two/other-calls"].reason
    # what was under way at that moment is lost too; the positive control and a later start are not
    assert any(v.verdict == "pass" for v in found.values())


def test_a_client_of_level_1_shows_unsupported(mock, adapter, cases):
    lower = "_hello = hello\ndef hello():\n    return {**_hello(), 'level': 1}\n"
    lower += "MODEL.clear()"
    found = one(mock, adapter(lower), cases()["two/score"])
    assert (found.verdict, found.reason) == ("unsupported", "the client lacks level 2")


def test_a_missing_capability_shows_unsupported_and_may_be_declared(mock, adapter, cases):
    manifest = adapter("CAPABILITIES.remove('cancel')")
    found = one(mock, manifest, cases()["two/cancel"])
    assert (found.verdict, found.reason, found.declared) == ("unsupported", "the client lacks cancel", False)
    found = one(mock, dataclasses.replace(manifest, lacks={"cancel": "so"}), cases()["two/cancel"])
    assert (found.verdict, found.reason, found.declared) == ("unsupported", "the client lacks cancel: so", True)


def test_an_operation_that_is_not_there_shows_unsupported(mock, adapter, cases):
    lines = "_answer = answer\ndef answer(r):\n    if r['op'] == 'swagger':\n"
    lines += "        return {'id': r['id'], 'unsupported': 'swagger'}\n    return _answer(r)"
    found = one(mock, adapter(lines), cases()["two/other-calls"])
    assert (found.verdict, found.reason) == ("unsupported", "the adapter answers unsupported: swagger")


def test_a_token_on_standard_error_or_in_a_reason_is_a_leak(mock, adapter, cases):
    leak = "_ask = ask\ndef ask(name):\n    token = _ask(name)\n    print(token, file=sys.stderr, flush=True)\n"
    leak += "    return token"
    assert red(one(mock, adapter(leak), cases()["two/tokens"])) == {"/secret/stderr"}


def test_a_token_in_what_the_hook_is_told_is_a_leak(mock, adapter, cases):
    text = CASES.replace(
        'auth: off, replies: [{status: 503}, {body: {text: "{drawn.predictions}"}}]}\n  client: {on_retry: tell}',
        'auth: token, replies: [{status: 503}, {body: {text: "{drawn.predictions}"}}]}\n'
        "  client: {on_retry: tell, token_provider: [{token: issued}]}",
    )
    assert text != CASES
    leak = "_tell = tell\ndef tell(name, attempt, wait, reason):\n"
    leak += "    _tell(name, attempt, wait, reason + str(clients[name].token))"
    assert red(one(mock, adapter(leak), cases(text)["two/retries"])) == {"/secret"}


def test_a_client_that_is_refused_never_reaches_the_later_steps(mock, adapter, cases):
    lines = "def open_(r):\n    raise Failure('argument', 'no')"
    places = red(one(mock, adapter(lines), cases()["two/score"]))
    assert {"/requests/count/equals", "/requests/count", "/steps/0/result/ok", "/steps/1/reached"} & places
    assert "/steps/1/reached" in places


def test_a_moment_that_never_comes_is_a_failed_check(mock, adapter, cases, monkeypatch):
    monkeypatch.setattr(scenario, "_GONE", 0.1)
    lines = "def score(r, client):\n    if 'client' in r: raise Failure('cancelled', 'at once')\n"
    lines += ADAPTER[ADAPTER.index("    rows = [[struct") : ADAPTER.index("def score_json")]
    assert "/steps/0/when" in red(one(mock, adapter(lines), cases()["two/cancel"]))


@pytest.mark.parametrize(
    ("kind", "patience", "expected"),
    [
        ("cancelled", 0.3, {"/peer_closed"}),
        ("provider", 3600, {"/peer_closed", "/steps/0/error/kind"}),  # has failed already: nobody waits
    ],
)
def test_a_connection_that_stays_open_after_a_cancellation_is_seen(
    mock, adapter, cases, monkeypatch, kind, patience, expected
):
    monkeypatch.setattr(scenario, "_GONE", patience)
    lines = (
        "kept = []\ndef cancel(r):\n    cancelled[r['call']].kept = True\n    done[r['call']].set()\n    return {}\n"
    )
    lines += "done = {}\n_score = score\ndef score(r, client):\n    if 'client' not in r: return _score(r, client)\n"
    lines += "    done[r['id']] = threading.Event()\n"
    lines += "    threading.Thread(target=_score, args=(r, client), daemon=True).start()\n"
    lines += f"    done[r['id']].wait()\n    raise Failure({kind!r}, 'x')"
    assert red(one(mock, adapter(lines), cases()["two/cancel"])) == expected


def test_a_token_that_is_never_answered_ends_with_its_case(mock, adapter, cases):
    text = CASES.replace(
        "[{token: expired}, {token: issued, delay: 0.01}, {token: issued, after: release}]", "[{hold: true}]"
    )
    text = text[text.index("- id: two/tokens") : text.index("- id: two/retries")]
    text = text[: text.index("  steps:")] + "  call: {op: score, rows: random}\n  expect:\n    requests: []\n"
    text += "    asks: 1\n    error: {kind: provider, text: {equals: gave up}}\n"
    lines = "def ask(name):\n    say({'id': f'q{next(numbers)}', 'ask': 'token', 'client': name})\n"
    lines += "    raise Failure('provider', 'gave up')"
    assert one(mock, adapter(lines), cases(text)["two/tokens"]).verdict == "pass"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "replies: [{delay: 60}]",
            "replies: [{delay: -1}]",
            "two/cancel: the mock refuses the service: replies[0].delay",
        ),
        ("{act: expire-tokens}", "{act: move-clock}", "two/tokens: "),
    ],
)
def test_what_the_mock_refuses_names_the_case(mock, adapter, cases, old, new, said):
    text = CASES.replace(old, new)
    assert text != CASES
    with pytest.raises(UsageProblem) as problem:
        verdicts(mock, adapter(), cases(text).values())
    assert f"{Path('cases') / 'some.yaml'}:" in str(problem.value)
    assert said in str(problem.value)
