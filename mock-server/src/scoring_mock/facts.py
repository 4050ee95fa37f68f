"""The facts about the real service that the mock is held to, and `mock-server/FACTS.md` made from them.

    python -m scoring_mock.facts          write FACTS.md anew
    python -m scoring_mock.facts --check  exit 1 if it is stale

Where a fact is implemented is not written here: the sources name it (`W26`), and the table is made from that.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scoring_mock.profiles.catalogue import PROFILES

State = Literal["implemented", "simulated, not observed", "not applicable"]

SOURCES = Path(__file__).parent
MOCK_SERVER = SOURCES.parents[1]
TABLE = MOCK_SERVER / "FACTS.md"
NUMBERS = range(1, 47)

_ID = re.compile(r"\bW(\d\d)\b")


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact. `basis` says how it is known; `note` says what of it is simulated, or why it does not apply."""

    id: str
    text: str
    profiles: str
    basis: str
    state: State
    note: str = ""


_ALL = "all"
_MEASURED = "measured"
_SOURCE = "source"
_DOCUMENTED = "documented"
_RECORDED = "recorded"

FACTS: tuple[Fact, ...] = (
    Fact(
        "W01",
        "`GET /` answers 200 `Healthy` as `text/html; charset=utf-8`",
        _ALL,
        _MEASURED,
        "implemented",
        "That front ends ask for no credential there is simulated, not observed.",
    ),
    Fact(
        "W02",
        "Paths are exact: no trailing slash, case counts; anything else is a 404 in JSON",
        _ALL,
        _MEASURED,
        "implemented",
        "The answer to a path without any service is simulated, not observed.",
    ),
    Fact(
        "W03",
        "A script with a schema refuses bad input with 400 and 415, in fixed words",
        "modern",
        _MEASURED,
        "implemented",
    ),
    Fact(
        "W04", "A script without a schema answers 500 to bad JSON, never 400 or 415", "modern", _MEASURED, "implemented"
    ),
    Fact(
        "W05",
        "Input of the wrong shape is a failure of the script: 500, not 400",
        "modern",
        _MEASURED,
        "implemented",
    ),
    Fact(
        "W06",
        "A script that raises: 500, fixed text, `x-ms-run-function-failed: True`, nothing of the exception",
        "modern",
        _MEASURED,
        "implemented",
    ),
    Fact(
        "W07",
        "The legacy server shows the exception's text as `text/html`; the `status_code` of its document is never sent",
        "legacy",
        _SOURCE,
        "implemented",
        "Of a traceback the mock shows the first and the last line.",
    ),
    Fact(
        "W08",
        "A result that JSON cannot hold: 500, internal text, `x-ms-run-function-failed: False`",
        "modern",
        _MEASURED,
        "implemented",
    ),
    Fact(
        "W09",
        "A string result is encoded once more, None is `{}`, NaN and Infinity are written as such",
        _ALL,
        _MEASURED,
        "implemented",
    ),
    Fact(
        "W10",
        "Request ids: which come back, which are new, 431 over 100 characters",
        "container",
        _MEASURED,
        "implemented",
    ),
    Fact(
        "W11",
        "`x-request-id` is replaced, `x-ms-client-request-id` is cleaned and cut to 40 characters",
        "managed-v2",
        _DOCUMENTED,
        "implemented",
    ),
    Fact(
        "W12",
        "`x-ms-server-version`, `x-ms-run-fn-exec-ms` with three decimals, `True` and `False` with capitals",
        "container",
        _MEASURED,
        "implemented",
    ),
    Fact(
        "W13",
        "The container closes every connection, front ends keep them",
        _ALL,
        "measured; recorded for v1",
        "implemented",
        "Kept connections of `k8s-v2` and `managed-v2` are simulated, not observed; HTTP/2 is not offered.",
    ),
    Fact(
        "W14",
        "404 and 405 of the router have no ids; `HEAD /score` is a 405 with ids",
        "container",
        _MEASURED,
        "implemented",
    ),
    Fact("W15", "Swagger 2.0 by default, `?version=`, and the 404 for others", "modern", _MEASURED, "implemented"),
    Fact(
        "W16",
        'Without a schema there is no document: 404 `"Swagger not found"`, a JSON string',
        "legacy",
        "source, documented",
        "implemented",
    ),
    Fact(
        "W17", "`OPTIONS /score` answers 200; 405 in JSON on the legacy server", _ALL, "measured, source", "implemented"
    ),
    Fact(
        "W18",
        "Cross-origin headers as flask-cors adds them",
        "container, v1, k8s-v2",
        _MEASURED,
        "implemented",
        "That front ends refuse a preflight, which has no credential, is simulated, not observed.",
    ),
    Fact(
        "W19",
        "Managed endpoints have no cross-origin headers",
        "managed-v2",
        _DOCUMENTED,
        "implemented",
        "The status of a preflight is simulated, not observed: 401, because it has no credential.",
    ),
    Fact(
        "W20",
        "Raw scripts: bytes untouched, header values split at commas, `text/html` by default",
        "raw scripts",
        _MEASURED,
        "implemented",
    ),
    Fact("W21", "Streams are chunked and have no Content-Length", "raw scripts", _MEASURED, "implemented"),
    Fact(
        "W22",
        "The front end alone asks for `Bearer <key-or-token>`; off by default on ACI, key on AKS; no tokens on ACI",
        "v1, v2",
        "documented, source",
        "implemented",
        "That no other spelling of the header opens is simulated, not observed.",
    ),
    Fact(
        "W23",
        "Both keys open; a regenerated one is refused afterwards",
        "v1, v2",
        _DOCUMENTED,
        "implemented",
        "That it is refused at once, without delay, is simulated, not observed.",
    ),
    Fact(
        "W24",
        "401 of a managed endpoint: `key_auth_access_denied` as text",
        "managed-v2",
        _RECORDED,
        "implemented",
        "Its content type is simulated, not observed.",
    ),
    Fact(
        "W25",
        "401 of v1",
        "v1, k8s-v2",
        _DOCUMENTED,
        "simulated, not observed",
        "Only the status is documented.",
    ),
    Fact(
        "W26",
        "The router turns the model's 500 into 502, other statuses pass; its own 500 stays 500",
        "aci-v1, aks-v1, k8s-v2",
        _DOCUMENTED,
        "implemented",
        "The text of the router's own 500 is simulated, not observed.",
    ),
    Fact(
        "W27",
        "Every model status but 200 becomes 424, with two headers that name it; the body is kept",
        "managed-v2",
        "source, documented",
        "implemented",
    ),
    Fact(
        "W28",
        "Too slow: 504 after 60 s (v1) and 5 s (Kubernetes), 408 `upstream request timeout` after 5 s (managed)",
        "v1, v2",
        "documented, recorded",
        "implemented",
        "The text of the 504 was recorded on ACI; for the others it is simulated, not observed.",
    ),
    Fact(
        "W29",
        "Too many requests: 503 that names the service (v1, Kubernetes), 429 with an empty body, a reason (managed)",
        "v1, v2",
        "recorded, source",
        "implemented",
        "The status of `Replica closed connection before replying` is simulated, not observed.",
    ),
    Fact(
        "W30",
        "No deployment with traffic: 404; `azureml-model-deployment` overrides the shares",
        "managed-v2",
        _DOCUMENTED,
        "implemented",
        "The words are known from a client that looks for them; the 404 for an unknown deployment is simulated.",
    ),
    Fact(
        "W31",
        "424 with the reasons `model_not_ready` and `too_few_model_instance`",
        "managed-v2",
        _SOURCE,
        "implemented",
        "The bodies are simulated, not observed.",
    ),
    Fact(
        "W32",
        "Bodies over 100 MB are refused",
        "v1, k8s-v2",
        _DOCUMENTED,
        "simulated, not observed",
        "Only the limit is documented: status, body and the early answer are simulated, not observed.",
    ),
    Fact(
        "W33",
        "Pages in HTML, without ids, from servers around the application",
        _ALL,
        "measured, recorded",
        "implemented",
    ),
    Fact(
        "W34",
        "Delays for bandwidth are told in two trailers",
        "managed-v2",
        _DOCUMENTED,
        "implemented",
        "How trailers and body are framed is simulated, not observed.",
    ),
    Fact("W35", "Routes and fields of the management APIs, long-running operations", "v1, v2", _SOURCE, "implemented"),
    Fact(
        "W36",
        "Times of tokens are whole seconds since the epoch; expiry comes after refresh",
        "v1, v2",
        _SOURCE,
        "implemented",
        "The unit of the v2 fields is simulated, not observed.",
    ),
    Fact(
        "W37",
        "v1 speaks TLS 1.2 only",
        "v1",
        _DOCUMENTED,
        "implemented",
        "The versions of managed endpoints are simulated, not observed.",
    ),
    Fact(
        "W38",
        "No Retry-After, unless a script sends one",
        _ALL,
        "measured",
        "implemented",
        "That front ends send none with 429 and 503 is simulated, not observed.",
    ),
    Fact(
        "W39",
        "A form is empty to a script without a schema (500) and 415 for one with a schema",
        "modern",
        _MEASURED,
        "implemented",
    ),
    Fact("W40", "No compressed requests are read, no replies compressed", "container", _MEASURED, "implemented"),
    Fact(
        "W41",
        "A byte order mark is read by a schema, and breaks a script without one",
        "modern",
        _MEASURED,
        "implemented",
    ),
    Fact("W42", "`GET /score?name=json` scores", "container", _MEASURED, "implemented"),
    Fact(
        "W43",
        "MLflow deployments want `input_data`: split frame, nested list or named tensors",
        "v2",
        _SOURCE,
        "implemented",
        "The model behind it is the mock's.",
    ),
    Fact("W44", "An error inside a 200, also in a JSON string", _ALL, "recorded, measured", "implemented"),
    Fact("W45", "The designer's error: an object with code, message and details", _ALL, _RECORDED, "implemented"),
    Fact(
        "W46",
        "`swagger_uri` is made from `scoringUri`; token authentication is `aadAuthEnabled`",
        "v1",
        _SOURCE,
        "implemented",
    ),
)


_HEAD = (
    "# What the mock knows of the real service",
    "",
    "Made by `python -m scoring_mock.facts` from `src/scoring_mock/facts.py` and from the sources, which name each",
    "fact where it is implemented. How a fact is known: *measured* on the genuine inference server 1.5.1, read in the",
    "*source* of a published package, *documented* by the vendor, or *recorded* on the real cloud service by somebody",
    "who published it. What nobody has observed is called **simulated, not observed**: do not take it for the truth.",
    "",
)
_FORMS_HEAD = (
    "",
    "## What the front ends answer by themselves",
    "",
    "The conditions of [ADMIN.md](ADMIN.md), in the bytes of each profile; of a page of HTML the first line is shown.",
    "",
)


def places() -> dict[str, list[str]]:
    """Return, for each fact that the sources name, the modules that do."""
    found: dict[str, list[str]] = {}
    for path in sorted(SOURCES.rglob("*.py")):
        if path == Path(__file__):
            continue
        for number in sorted(set(_ID.findall(path.read_text(encoding="utf-8")))):
            found.setdefault(f"W{number}", []).append(path.relative_to(SOURCES).as_posix())
    return found


def problems() -> list[str]:
    """Return what is wrong with the facts themselves, one sentence each."""
    named = places()
    known = [fact.id for fact in FACTS]
    wrong = [f"W{number:02d} is missing" for number in NUMBERS if f"W{number:02d}" not in known]
    wrong += [f"{name} is listed twice" for name in sorted({n for n in known if known.count(n) > 1})]
    wrong += [f"{name} is named in {', '.join(named[name])}, and no fact" for name in named if name not in known]
    for fact in FACTS:
        if fact.state == "not applicable":
            if not fact.note:
                wrong.append(f"{fact.id} is not applicable, and nothing says why")
        elif fact.id not in named:
            wrong.append(f"{fact.id} is called {fact.state}, and no module names it")
        if "simulated" in fact.state and not fact.note:
            wrong.append(f"{fact.id} is simulated, and nothing says what of it")
    return wrong


def render() -> str:
    """Return the text of FACTS.md."""
    named = places()
    lines = [
        *_HEAD,
        "| fact | what the service does | profiles | known by | in the mock | where |",
        "|---|---|---|---|---|---|",
    ]
    for fact in FACTS:
        state = f"{fact.state}. {fact.note}" if fact.note else fact.state
        where = ", ".join(f"[{name}](src/scoring_mock/{name})" for name in named.get(fact.id, []))
        lines.append(f"| {fact.id} | {fact.text} | {fact.profiles} | {fact.basis} | {state} | {where} |")
    lines += [
        *_FORMS_HEAD,
        "| profile | condition | status | Content-Type | body | bytes |",
        "|---|---|---|---|---|---|",
    ]
    for profile in PROFILES.values():
        for condition, form in profile.front.forms.items() if profile.front else ():
            body = form.body.replace("{name}", "NAME").partition("\r\n")[0]
            known = "simulated, not observed" if form.simulated else "known"
            shown = f"`{body}`" if body else "none"
            lines.append(f"| {profile.name} | {condition} | {form.status} | {form.content_type} | {shown} | {known} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write FACTS.md, or check it."""
    parser = argparse.ArgumentParser(prog="python -m scoring_mock.facts", description="Write mock-server/FACTS.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the file is stale")
    options = parser.parse_args(arguments)
    wrong = problems()
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    if options.check:
        stale = not TABLE.is_file() or TABLE.read_text(encoding="utf-8") != render()
        if stale:
            print("mock-server/FACTS.md is stale: run python -m scoring_mock.facts", file=sys.stderr)
        return int(bool(wrong) or stale)
    TABLE.write_text(render(), encoding="utf-8")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
