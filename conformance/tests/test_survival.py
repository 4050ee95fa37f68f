"""Whatever an adapter does wrong is survived, attributed to it, and never a pass."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from scoring_conformance.cases.loader import load_cases
from scoring_conformance.engine.run import Client, Run

CASES = {c.id: c for c in load_cases()}
SOME = [
    CASES["auth/off"],
    CASES["payload/not-finite/nan"],
    CASES["auth/key/cannot-travel/empty"],
    CASES["predictions/no-rows"],
]


def verdicts(mock, manifest, cases=SOME, deadline=5.0):
    run = Run(cases, [Client(manifest)], mock, "seed", deadline=deadline)
    asyncio.run(run.execute())
    assert len(run.verdicts) == len(cases)
    return run.verdicts


def reasons(found):
    assert {v.verdict for v in found.values()} == {"error"}
    return {v.reason for v in found.values()}


def test_an_adapter_that_dies_at_start(mock, made_up):
    (reason,) = reasons(verdicts(mock, made_up("", preamble="import sys\nsys.exit('no such library')\n")))
    assert "it ended with status 1" in reason
    assert "no such library" in reason


def test_an_adapter_that_does_not_exist(mock, made_up, tmp_path):
    manifest = made_up("")
    (manifest.folder / "client.toml").write_text(
        'name = "made-up"\nlanguage = "x"\nrun = ["./no-such-program"]\n', encoding="utf-8"
    )
    from scoring_conformance.clients.manifest import read_manifest

    (reason,) = reasons(verdicts(mock, read_manifest(manifest.folder / "client.toml")))
    assert "`./no-such-program` cannot be started" in reason


def test_an_adapter_that_prints_garbage(mock, made_up):
    (reason,) = reasons(verdicts(mock, made_up("print('Welcome!', flush=True)\nsys.stdin.read()\n")))
    assert "a line on standard output is not JSON: 'Welcome!'" in reason


def test_garbage_between_replies(mock, made_up):
    found = verdicts(mock, made_up("for r in requests():\n    print('debug', r['op'], flush=True)\n"))
    assert any("is not JSON: 'debug score'" in reason for reason in reasons(found))


def test_an_adapter_that_hangs_is_killed_with_its_children(mock, made_up, tmp_path):
    pid_file = tmp_path / "child"
    manifest = made_up(
        "import subprocess\n"
        f"child = subprocess.Popen(['sleep', '600']); open({str(pid_file)!r}, 'w').write(str(child.pid))\n"
        "print('about to hang', file=sys.stderr, flush=True)\n"
        "for r in requests():\n    pass\n"
    )
    for reason in reasons(verdicts(mock, manifest, deadline=1.0)):
        assert "no reply to `score` within 1 s: killed" in reason
        assert "about to hang" in reason
    with pytest.raises(ProcessLookupError):
        _signal_until_gone(int(pid_file.read_text()))


def _signal_until_gone(pid: int) -> None:
    """A killed process is gone once its new parent has collected it."""
    for _ in range(1000):
        os.kill(pid, 0)
        os.sched_yield()
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            raise ProcessLookupError(pid)
    raise AssertionError(f"{pid} is alive")


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("{'id': r['id']}", "does not match score-reply.json"),
        ("{'id': r['id'], 'ok': {}}", "does not match score-reply.json"),
        ("{'id': r['id'], 'ok': {'predictions': [1.5]}}", "does not match score-reply.json"),
        ("{'id': r['id'], 'ok': {'predictions': []}, 'unsupported': 'x'}", "does not match score-reply.json"),
        ("{'id': r['id'], 'error': {'kind': 'reply', 'text': 'x'}}", "does not match score-reply.json"),
        ("{'ok': {'predictions': []}}", "is not an object with an id"),
        ("[1]", "is not an object with an id"),
    ],
)
def test_a_reply_that_does_not_match_the_protocol(mock, made_up, reply, said):
    found = verdicts(mock, made_up(f"for r in requests():\n    say({reply})\n"))
    assert any(said in reason for reason in reasons(found))


def test_a_reply_to_nobody_spoils_the_whole_client(mock, made_up):
    lines = "for r in requests():\n    say({'id': r['id'], 'error': {'kind': 'argument', 'text': 'x'}})\n"
    lines += "    say({'id': 'made-up', 'ok': {'predictions': []}})\n"
    assert any("a reply to a request that was never made" in r for r in reasons(verdicts(mock, made_up(lines))))


ORACLE = """\
import struct, urllib.parse, http.client
def number(bits): return struct.unpack('>d', bytes.fromhex(bits))[0]
def post(r, times=1):
    uri = urllib.parse.urlsplit(r['scoring_uri'])
    body = json.dumps({'data': [[number(c) for c in row] for row in r['rows']]})
    for _ in range(times):
        c = http.client.HTTPConnection(uri.hostname, uri.port)
        c.request('POST', uri.path, body, {'Content-Type': 'application/json'})
        answer = json.loads(c.getresponse().read())
        c.close()
    return {'id': r['id'], 'ok': {'predictions': [struct.pack('>d', float(a)).hex() for a in answer]}}
"""


def test_a_made_up_client_can_pass_at_all(mock, made_up):
    found = verdicts(mock, made_up(ORACLE + "for r in requests():\n    say(post(r))\n"), [CASES["auth/off"]])
    assert [v.verdict for v in found.values()] == ["pass"]


def test_a_second_reply_turns_a_pass_into_an_error(mock, made_up):
    lines = ORACLE + "for r in requests():\n    a = post(r)\n    say(a)\n    say(a)\n"
    assert reasons(verdicts(mock, made_up(lines), [CASES["auth/off"]])) == {"a second reply to one request"}


def test_a_request_after_the_reply_turns_a_pass_into_a_fail(mock, made_up):
    lines = ORACLE + "seen = []\nfor r in requests():\n    say(post(r))\n    seen.append(r)\n"
    (found,) = verdicts(mock, made_up(lines + "for r in seen:\n    post(r)\n"), [CASES["auth/off"]]).values()
    assert (found.verdict, [c.place for c in found.findings]) == ("fail", ["/requests/late"])


def test_a_credential_on_standard_error_turns_a_pass_into_a_fail(mock, made_up):
    lines = ORACLE.replace(
        "'Content-Type'", "**({'Authorization': 'Bearer ' + r['key']} if 'key' in r else {}), 'Content-Type'"
    )
    lines += "for r in requests():\n    print('key', r.get('key'), file=sys.stderr)\n    say(post(r))\n"
    (found,) = verdicts(mock, made_up(lines), [CASES["auth/key/primary"]]).values()
    assert (found.verdict, [c.place for c in found.findings]) == ("fail", ["/secret/stderr"])


def test_a_client_that_cannot_score_passes_no_case_that_expects_a_failure(mock, made_up):
    lines = "for r in requests():\n    say({'id': r['id'], 'error': {'kind': 'argument', 'text': 'no'}})\n"
    (found,) = verdicts(mock, made_up(lines), [CASES["payload/not-finite/nan"]]).values()
    assert found.verdict == "error"
    assert found.reason.startswith("the positive control")


def test_an_unknown_request_must_be_answered_with_unsupported(mock, made_up):
    yes = made_up.preamble.replace('"unsupported": request["op"]', '"ok": {"predictions": []}')
    (reason,) = reasons(verdicts(mock, made_up("for r in requests():\n    pass\n", preamble=yes)))
    assert "was not answered with `unsupported`" in reason


def test_one_crash_costs_the_calls_under_way_and_the_rest_goes_on(mock, made_up):
    lines = ORACLE + "for r in requests():\n    if len(r['rows']) == 40: os._exit(7)\n    say(post(r))\n"
    manifest = made_up(lines.replace("'max_in_flight': 4", "'max_in_flight': 1"))
    adapter = manifest.folder / "adapter.py"
    adapter.write_text(adapter.read_text().replace('"max_in_flight": 4', '"max_in_flight": 1'))
    cases = [CASES["predictions/rows/one"], CASES["predictions/rows/forty"], CASES["predictions/rows/two"]]
    found = {case: v.verdict for (_, case), v in verdicts(mock, manifest, cases).items()}
    assert found == {
        "predictions/rows/one": "pass",
        "predictions/rows/forty": "error",
        "predictions/rows/two": "pass",
    }


def test_a_foreign_client_is_only_warned_of_what_is_our_policy(mock, made_up):
    lines = ORACLE.replace("application/json", "application/json; charset=utf-8")
    found = verdicts(
        mock,
        made_up(lines + "for r in requests():\n    say(post(r))\n"),
        [CASES["payload/content-type"], CASES["payload/content-type-exact"]],
    )
    assert {case: v.verdict for (_, case), v in found.items()} == {
        "payload/content-type": "pass",
        "payload/content-type-exact": "warn",
    }
