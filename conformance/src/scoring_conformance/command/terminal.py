"""What a run looks like on a terminal, and in a log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from scoring_conformance.engine.verdicts import Verdict

_STYLE = {
    "pass": "green",
    "fail": "bold red",
    "error": "bold magenta",
    "warn": "yellow",
    "unsupported": "cyan",
    "not run": "dim",
}
_SHOWN_FAILURES = 20


class Terminal:
    """Progress while a run goes on; afterwards the matrix, what went wrong, and one line that says it all."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._progress: Progress | None = None
        self._seen: set[tuple[str, str]] = set()
        self._bad = 0

    def tell(self, line: str) -> None:
        """One line that does not wait for the end."""
        self.console.print(escape(line))

    def begin(self, total: int) -> None:
        """Show progress, when somebody is looking."""
        if self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
            )
            self._progress = Progress(*columns, console=self.console, transient=True)
            self._task = self._progress.add_task("verdicts", total=total)
            self._progress.start()

    def verdict(self, verdict: Verdict) -> None:
        """One more verdict."""
        key = (verdict.client, verdict.case)
        if key in self._seen:
            return
        self._seen.add(key)
        if self._progress is not None:
            self._bad += verdict.verdict in ("fail", "error")
            bad = f" [red]{self._bad} not passed[/red]" if self._bad else ""
            self._progress.update(self._task, advance=1, description=f"verdicts{bad}")

    def end(self) -> None:
        """Progress is over."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def report(
        self, document: Mapping[str, Any], templates: Mapping[str, str], *, every_case: bool, folder: str
    ) -> None:
        """The matrix, the failures, the summary.

        Args:
            document: the results.
            templates: the template of each case, so that its many cases can share a row when nothing is wrong.
            every_case: a row for each case all the same.
            folder: where the results are.
        """
        clients = sorted({v["client"] for v in document["verdicts"]})
        cells = {(v["client"], v["case"]): v for v in document["verdicts"]}
        if cells:
            self.console.print(self._matrix(clients, cells, {} if every_case else templates))
        self._failures(document["verdicts"])
        for name, client in document["clients"].items():
            if "not_run" in client:
                self.console.print(f"[bold]{escape(name)}: not run[/bold]: {escape(client['not_run'])}")
        self.console.print(self._summary(document, len(clients), folder))

    def _matrix(
        self,
        clients: Sequence[str],
        cells: Mapping[tuple[str, str], Mapping[str, Any]],
        templates: Mapping[str, str],
    ) -> Table:
        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column("case", no_wrap=True)
        for client in clients:
            table.add_column(client, no_wrap=True, min_width=len("pass"))
        cases = sorted({case for _, case in cells})
        for template, group in groupby(cases, key=lambda case: templates.get(case, case)):
            members = list(group)
            each = [{self._verdict(cells, client, case) for case in members} for client in clients]
            if len(members) > 1 and all(verdicts in ({"pass"}, {"not run"}) for verdicts in each):
                row = (self._cell(verdict) for (verdict,) in each)
                table.add_row(f"{template}/* [dim]({len(members)} cases)[/dim]", *row)
            else:
                for case in members:
                    row = (self._cell(self._verdict(cells, client, case)) for client in clients)
                    table.add_row(escape(case), *row)
        return table

    @staticmethod
    def _verdict(cells: Mapping[tuple[str, str], Mapping[str, Any]], client: str, case: str) -> str:
        """A run that was cut short has not got to all."""
        cell = cells.get((client, case))
        return str(cell["verdict"]) if cell is not None else "-"

    @staticmethod
    def _cell(verdict: str) -> str:
        style = _STYLE.get(verdict, "dim")
        return f"[{style}]{verdict}[/{style}]"

    def _failures(self, verdicts: Sequence[Mapping[str, Any]]) -> None:
        declared = Counter((v["client"], v["reason"]) for v in verdicts if "declared" in v)
        for (client, reason), count in sorted(declared.items()):
            self.console.print(f"[cyan]{count} unsupported[/cyan] {escape(client)}: {escape(reason)}")
        wrong = ("fail", "error", "warn", "unsupported")
        bad = [v for v in verdicts if v["verdict"] in wrong and "declared" not in v]
        for verdict in bad[:_SHOWN_FAILURES]:
            style = _STYLE[verdict["verdict"]]
            name, who = verdict["verdict"], f"{verdict['client']} {verdict['case']}"
            self.console.print(f"\n[{style}]{name}[/{style}] [bold]{escape(who)}[/bold]")
            for finding in verdict["findings"]:
                place = finding["check"].partition("#")[2]
                self.console.print(f"  {escape(place)}")
                self.console.print(f"    expected {escape(_text(finding['expected']))}")
                self.console.print(f"    actual   {escape(_text(finding['actual']))}")
            if "reason" in verdict:
                self.console.print("  " + escape(verdict["reason"]).replace("\n", "\n  "))
            self.console.print(f"  [dim]see: conformance explain {escape(verdict['case'])}[/dim]")
        if len(bad) > _SHOWN_FAILURES:
            self.console.print(f"\n… and {len(bad) - _SHOWN_FAILURES} more, in results.json")

    @staticmethod
    def _summary(document: Mapping[str, Any], clients: int, folder: str) -> str:
        counts: Counter[str] = Counter(document["summary"])
        parts = [f"{counts[name]} {name}" for name in _STYLE if counts[name]]
        cases = len({v["case"] for v in document["verdicts"]})
        run = document["run"]
        whole = "" if document["complete"] else "[bold red]cut short:[/bold red] "
        size = f"{_count(clients, 'client')} x {_count(cases, 'case')}"
        return (
            f"\n{whole}{size}: {', '.join(parts) or 'no verdict'}; mock {run['mock']['kind']}, "
            f"{run['seconds']:.1f} s, seed {document['seed']}, results in {escape(folder)}/results.json"
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 500 else text[:500] + "…"
