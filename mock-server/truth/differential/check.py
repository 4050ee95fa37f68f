"""The truth check `differential`: the same requests to the genuine server and to the mock, replies equal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import environment

from differential import genuine
from differential.compare import Volatile, difference, read_volatile
from differential.corpus import NEWEST, CorpusError, Message, Reply, read_corpus, read_services, write_replies
from differential.exchange import Address, HungError, exchange
from differential.mock import Mock, MockError

PROVEN, FAILED, COULD_NOT_RUN = 0, 1, 3
PACKAGE = "azureml-inference-server-http 1.5.1"
# The recordings hold this version's error texts of the JSON parser; another version may word them in another way.
RECORDED_WITH = "3.11"


@dataclass
class Report:
    """What was compared and what differed."""

    compared: int = 0
    differences: list[str] = field(default_factory=list)

    def add(
        self, message: Message, wanted: Reply, got: Reply, volatile: list[Volatile], names: tuple[str, str]
    ) -> None:
        """Compare two replies to a message."""
        self.compared += 1
        found = difference(wanted, got, volatile, names)
        if found is not None:
            self.differences.append(f"-- {message.id} (service {message.service}): {names[0]} / {names[1]}\n{found}")


def ask(message: Message, address: Address) -> Reply:
    """Send a message; a hang is an answer too, so that one of them does not hide the other differences."""
    try:
        return exchange(address, message)
    except HungError as error:
        return Reply(f"(hung) {error}".encode(), closed=False)
    except OSError as error:
        return Reply(f"({error})".encode(), closed=True)


def compare_live(
    messages: Iterable[Message], genuine_at: dict[str, Address], mock_at: dict[str, Address], *, recordings: bool
) -> tuple[Report, Report, Report, dict[str, Reply]]:
    """Compare the mock with the genuine server, that with itself, and with the recordings; returns its replies too."""
    volatile = read_volatile()
    mocked, repeated, recorded = Report(), Report(), Report()
    replies: dict[str, Reply] = {}
    for message in messages:
        wanted = ask(message, genuine_at[message.service])
        replies[message.id] = wanted
        repeated.add(message, wanted, ask(message, genuine_at[message.service]), volatile, ("genuine", "genuine again"))
        mocked.add(message, wanted, ask(message, mock_at[message.service]), volatile, ("genuine", "mock"))
        if recordings and message.reply:
            recorded.add(message, message.reply, wanted, volatile, ("recorded", "genuine today"))
    return mocked, repeated, recorded, replies


def compare_with_recordings(messages: Iterable[Message], mock_at: dict[str, Address]) -> Report:
    """Compare the mock with the replies on file."""
    volatile, report = read_volatile(), Report()
    for message in messages:
        if message.reply:
            report.add(message, message.reply, ask(message, mock_at[message.service]), volatile, ("recorded", "mock"))
    return report


def main(arguments: list[str]) -> int:
    """Run the check; prints each difference and, last, the summary."""
    parser = argparse.ArgumentParser(prog="differential.check", description=__doc__)
    parser.add_argument("--record", action="store_true", help=f"write the genuine replies into {NEWEST}.jsonl")
    parser.add_argument("--live", action="store_true", help="do not fall back on the recordings")
    options = parser.parse_args(arguments)
    try:
        corpus = read_corpus()
        try:
            python: Path | None = genuine.interpreter()
            reason = ""
        except environment.Unavailable as error:
            python, reason = None, str(error)
        if python is None and (options.live or options.record):
            print(f"{PACKAGE} cannot be installed: {reason}")
            return COULD_NOT_RUN
        return _with_mock(corpus, python, reason, record=options.record)
    except (CorpusError, genuine.StartError, MockError) as error:
        print(error)
        return FAILED


def _with_mock(corpus: dict[str, list[Message]], python: Path | None, reason: str, *, record: bool) -> int:
    services = read_services()
    messages = [message for group in corpus.values() for message in group]
    more = len(corpus[NEWEST])
    count = f"{len(messages)} requests ({len(messages) - more} of the recordings, {more} more)"
    with Mock() as mock:
        mock_at = mock.containers({name: service.mock for name, service in services.items()})
        if python is None:
            report = compare_with_recordings(messages, mock_at)
            summary = f"RECORDED replies, not live ({PACKAGE} cannot be installed: {reason})"
            return _conclude([report], f"{count}, {len(report.differences)} differences; {summary}")
        same_python = genuine.python_version(python) == RECORDED_WITH
        with genuine.running(python, services) as servers:
            genuine_at = {name: server.address for name, server in servers.items()}
            mocked, repeated, recorded, replies = compare_live(
                messages, genuine_at, mock_at, recordings=same_python and not record
            )
    if record:
        newest = {message.id for message in corpus[NEWEST]}
        write_replies(NEWEST, {name: reply for name, reply in replies.items() if name in newest})
    on_file = (
        f"{recorded.compared} replies on file, {len(recorded.differences)} out of date"
        if recorded.compared
        else "replies on file not looked at"
    )
    return _conclude(
        [repeated, recorded, mocked],
        f"{count}, {len(mocked.differences)} differences; live against {PACKAGE}; the genuine server against itself: "
        f"{len(repeated.differences)}; {on_file}; mock {version('scoring-mock')}",
    )


def _conclude(reports: list[Report], summary: str) -> int:
    found = [text for report in reports for text in report.differences]
    for text in found:
        print(text)
    print(summary)
    return FAILED if found else PROVEN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
