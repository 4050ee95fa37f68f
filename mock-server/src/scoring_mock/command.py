"""The command `scoring-mock`."""

from __future__ import annotations

import argparse
import asyncio
import errno
import json
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn

from scoring_mock.server import ALL_LISTENERS, Options, Server, run


class UsageError(Exception):
    """Bad input of the user; the message is one clear line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code (2 for bad input)."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.function(options)
    except UsageError as error:
        print(f"scoring-mock: {error}", file=sys.stderr)
        return 2
    return code


class _Parser(argparse.ArgumentParser):
    """A parser that says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="scoring-mock", description="A local stand-in for an Azure Machine Learning scoring service.")
    parser.add_argument("--version", action="version", version=f"scoring-mock {version('scoring-mock')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run_ = commands.add_parser(
        "run", help="run for a test suite: the first line is JSON, the admin plane does the rest"
    )
    run_.add_argument("--host", default="127.0.0.1", help="where to listen (default: %(default)s)")
    run_.add_argument("--public-host", help="the host in the addresses that are given out (default: --host)")
    run_.add_argument("--admin-host", default="127.0.0.1", help="where the admin plane listens (default: %(default)s)")
    run_.add_argument("--admin-port", type=_port, default=0, help="its port (default: any free one)")
    run_.add_argument("--ports", type=_port_range, metavar="FIRST-LAST", help="take all ports from this range")
    run_.add_argument(
        "--listeners", type=_listeners, default=ALL_LISTENERS, metavar="NAME,...", help="only these (default: all)"
    )
    run_.add_argument("--exit-with-stdin", action="store_true", help="end when standard input is closed")
    run_.set_defaults(function=_run)
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; expected 0 to 65535")
    return int(text)


def _port_range(text: str) -> range:
    first, dash, last = text.partition("-")
    if not dash or not first.isdecimal() or not last.isdecimal() or not 0 < int(first) <= int(last) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no range of ports; expected for example 9000-9099")
    return range(int(first), int(last) + 1)


def _listeners(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in ALL_LISTENERS:
            raise argparse.ArgumentTypeError(f"there is no listener {name!r}; there are {', '.join(ALL_LISTENERS)}")
    return names


def _run(arguments: argparse.Namespace) -> int:
    options = Options(
        host=arguments.host,
        public_host=arguments.public_host,
        admin_host=arguments.admin_host,
        listeners=arguments.listeners,
        ports=arguments.ports,
        fixed_ports={"admin": arguments.admin_port},
    )

    def started(server: Server) -> None:
        print(json.dumps(server.info), flush=True)

    return _serve_until_told(options, started, until_stdin_closes=arguments.exit_with_stdin)


def _serve_until_told(options: Options, started: object, *, until_stdin_closes: bool = False) -> int:
    try:
        asyncio.run(run(options, started, until_stdin_closes=until_stdin_closes))  # type: ignore[arg-type]
    except OSError as error:
        raise UsageError(_why_not(error)) from error
    return 0


def _why_not(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is in use; choose another with --port, or end the program that has it"
    if error.errno in (errno.EADDRNOTAVAIL, errno.EACCES):
        return f"cannot listen there: {error.strerror}"
    raise error
