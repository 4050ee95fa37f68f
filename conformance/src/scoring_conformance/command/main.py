"""``conformance run | list | explain | compare | pages | mutants``.

Exit status: 0 every client that ran conforms; 1 one does not, or a required one did not run; 2 bad input; 3 nothing
ran, or the suite or its mock failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from scoring_conformance import __version__
from scoring_conformance.cases.clauses import clauses
from scoring_conformance.cases.loader import load_cases
from scoring_conformance.clients.manifest import chosen_clients, reference_clients
from scoring_conformance.command.terminal import Terminal
from scoring_conformance.engine.results import exit_status, same
from scoring_conformance.engine.run import DEFAULT_DEADLINE, Run
from scoring_conformance.engine.selection import required_clients, select_cases
from scoring_conformance.engine.session import Session, new_seed
from scoring_conformance.kills import Kills, in_batches, run_mutants, unproven_cases
from scoring_conformance.mock import open_mock
from scoring_conformance.mutants import disagreements, load_declarations, load_mutants
from scoring_conformance.pages import pages, rules
from scoring_conformance.paths import repository
from scoring_conformance.problems import HarnessFault, UsageProblem
from scoring_conformance.proofs import unproven


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, not the whole usage."""
        raise UsageProblem(f"{message}; `{self.prog} --help` lists the options")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The command's entry point."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        options = _parser().parse_args(arguments)
        status = options.call(options)
    except UsageProblem as problem:
        print(f"conformance: {problem}", file=sys.stderr)
        status = 2
    except HarnessFault as fault:
        print(f"conformance: the run is void: {fault}", file=sys.stderr)
        status = 3
    except KeyboardInterrupt:
        print("conformance: interrupted", file=sys.stderr)
        status = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    sys.exit(status)


def _terminated(number: int, _: FrameType | None) -> None:
    """SIGTERM ends the run in order: results written, mock and clients gone."""
    raise SystemExit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="conformance",
        description="Runs every scoring client against a mock of the service and judges it.",
    )
    parser.add_argument("--version", action="version", version=f"conformance {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    run = commands.add_parser("run", help="run cases and print the matrix")
    run.add_argument("--client", action="append", default=[], metavar="NAME", help="only this client (may repeat)")
    run.add_argument(
        "--adapter",
        action="append",
        default=[],
        type=Path,
        metavar="PATH",
        help="a client of yours: its client.toml or folder",
    )
    run.add_argument(
        "--case",
        action="append",
        default=[],
        metavar="PATTERN",
        help="only these cases: an id, a prefix, or a pattern with *",
    )
    run.add_argument(
        "--seed",
        default=os.environ.get("SEED") or None,
        metavar="TEXT",
        help="repeat a run's draws (SEED; default: random)",
    )
    run.add_argument(
        "--mock",
        default=os.environ.get("MOCK") or "embedded",
        metavar="WHERE",
        help="embedded (default), container, or an admin URL (MOCK)",
    )
    run.add_argument(
        "--require",
        default=os.environ.get("REQUIRE", ""),
        metavar="NAMES",
        help="clients that must run, comma between (REQUIRE)",
    )
    run.add_argument(
        "--results",
        type=Path,
        default=Path("build"),
        metavar="FOLDER",
        help="where results.json goes (default: build)",
    )
    run.add_argument(
        "--deadline",
        type=_seconds,
        default=DEFAULT_DEADLINE,
        metavar="SECONDS",
        help=f"limit for one reply (default: {DEFAULT_DEADLINE:g})",
    )
    run.add_argument("--all", action="store_true", help="a row for every case, also where all passed")
    run.set_defaults(call=_run)

    show = commands.add_parser("list", help="list cases or clients")
    show.add_argument("what", choices=["cases", "clients"], nargs="?", default="cases")
    show.set_defaults(call=_list)

    explain = commands.add_parser("explain", help="what a case asks, and why")
    explain.add_argument("case", metavar="CASE")
    explain.set_defaults(call=_explain)

    compare = commands.add_parser("compare", help="whether two results differ in more than times and ids")
    compare.add_argument("left", type=Path)
    compare.add_argument("right", type=Path)
    compare.set_defaults(call=_compare)

    made = commands.add_parser(
        "pages", help="make the pages that are made from data: CASES.md, KILLS.md, the table in clients/README.md"
    )
    made.add_argument(
        "--check",
        action="store_true",
        help="only say whether they are up to date, every rule is proven and every case can fail",
    )
    made.set_defaults(call=_pages)

    wrong = commands.add_parser("mutants", help="run wrong clients and compare what turns red with what they declare")
    wrong.add_argument("mutant", nargs="*", metavar="NAME", help="only these (default: all)")
    wrong.set_defaults(call=_mutants)
    return parser


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return value


def _run(options: argparse.Namespace) -> int:
    terminal = Terminal()
    required = required_clients(options.require)
    manifests = chosen_clients(options.client, options.adapter)
    cases = select_cases(load_cases(), options.case)
    folder = options.results if options.results.is_absolute() else repository() / options.results
    session = Session(
        cases=cases,
        manifests=manifests,
        where=options.mock,
        seed=options.seed or new_seed(),
        folder=folder,
        deadline=options.deadline,
        tell=terminal.tell,
        on_verdict=terminal.verdict,
    )
    try:
        with session.prepared() as run:
            terminal.begin(len(cases) * len(manifests))
            _execute(run)
    finally:
        terminal.end()
        if session.document:
            templates = {case.id: case.template for case in cases}
            terminal.report(session.document, templates, every_case=options.all, folder=_relative(folder))
    chosen = {m.name for m in manifests}
    absent = sorted(required - chosen)
    if absent and options.client:
        terminal.tell(f"required, but not selected: {', '.join(absent)}")
        return 1
    return exit_status(session.document, required)


def _execute(run: Run) -> None:
    """Run it; SIGTERM cancels it in order, as Ctrl-C does, and not in the middle of whatever it does."""

    async def cancellable() -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await run.execute()

    try:
        asyncio.run(cancellable())
    except asyncio.CancelledError:
        raise SystemExit(128 + signal.SIGTERM) from None
    finally:
        signal.signal(signal.SIGTERM, _terminated)


def _list(options: argparse.Namespace) -> int:
    if options.what == "clients":
        for manifest in reference_clients().values():
            print(f"{manifest.name}\t{manifest.language}\t{manifest.client}")
    else:
        for case in load_cases():
            print(f"{case.id}\t{case.severity}\t{case.title}")
    return 0


def _explain(options: argparse.Namespace) -> int:
    (case, *_) = select_cases(load_cases(), [options.case])
    print(f"{case.id} ({case.severity})\n{case.title}\n\nWhy: {case.why}\n\nClauses:")
    for clause in case.clause:
        print(f"  {clause}  {clauses()[clause]}")
    steps = list(case.steps) if case.steps is not None else None
    parts = ("Service", case.service), ("Client", case.client), ("Call", case.call), ("Steps", steps)
    if case.needs:
        print(f"\nNeeds: level {case.level}, {', '.join(sorted(case.needs))}")
    else:
        print(f"\nNeeds: level {case.level}")
    for name, part in (*parts, ("Expected", case.expect)):
        if part is not None:
            print(f"\n{name}:\n{_indented(part)}")
    print(f"\nFrom {_relative(case.path)}:{case.line}. Run it alone: conformance run --case {case.id}")
    return 0


def _compare(options: argparse.Namespace) -> int:
    differences = same(_read_results(options.left), _read_results(options.right))
    for difference in differences:
        print(difference)
    if not differences:
        print("equal but for times and ids")
    return 1 if differences else 0


def _pages(options: argparse.Namespace) -> int:
    stale = 0
    cases = load_cases()
    if options.check:
        for problem in [*unproven(list(rules()), cases), *unproven_cases(load_declarations(), cases)]:
            stale += 1
            print(problem, file=sys.stderr)
    for name, text in pages(cases).items():
        path = repository() / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if options.check:
            print(f"{name} is not up to date: run `conformance pages`", file=sys.stderr)
        else:
            path.write_text(text, encoding="utf-8")
            print(f"{name} written")
    return 1 if options.check and stale else 0


def _mutants(options: argparse.Namespace) -> int:
    terminal = Terminal()
    mutants = load_mutants(names=options.mutant)
    cases = load_cases()
    kills = Kills(repository() / "build" / "kills.json")
    wrong = 0
    mock = open_mock("embedded")
    try:
        for batch in in_batches(mutants):
            document = run_mutants(batch, cases, mock, repository() / "build" / "proof", kills)
            for mutant in batch:
                lacking = document["clients"][mutant.name].get("not_run")
                problems = [lacking] if lacking else disagreements(mutant.declared, cases, document)
                said = "not run" if lacking else "not as declared" if problems else "as declared"
                terminal.tell("\n  ".join([f"{mutant.name}: {said}", *problems]))
                wrong += bool(problems)
    finally:
        mock.close()
    if not options.mutant:
        alive = [*kills.alive(cases), *kills.alive_kinds()]
        for name in alive:
            terminal.tell(f"no wrong client turns it red: {name}")
        wrong += len(alive)
    return 1 if wrong else 0


def _read_results(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageProblem(f"{path}: no results there: {error}") from error
    return document


def _indented(part: Any) -> str:
    import yaml

    text = yaml.safe_dump(part, sort_keys=False, allow_unicode=True, width=110)
    return "\n".join("  " + line for line in text.rstrip().splitlines())


def _relative(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(repository()))
    except ValueError:
        return str(path)
