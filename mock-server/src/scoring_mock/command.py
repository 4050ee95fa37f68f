"""The command `scoring-mock`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import IO, NoReturn

from scoring_mock import __version__
from scoring_mock.http_types import SpecError
from scoring_mock.profiles.catalogue import PROFILES
from scoring_mock.serve import ADMIN_PORT, CONTROL_PORT, DEFAULT_PORT, FAULTS, Serve
from scoring_mock.server import ADMIN, ALL_LISTENERS, CONTROL, Options, Server, run
from scoring_mock.wire.listeners import CannotListen


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
    except KeyboardInterrupt:  # before the server could take the signal into its own hands
        return 0
    return code


class _Parser(argparse.ArgumentParser):
    """A parser that says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="scoring-mock", description="A local stand-in for an Azure Machine Learning scoring service.")
    parser.add_argument("--version", action="version", version=f"scoring-mock {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run_ = commands.add_parser(
        "run", help="run for a test suite: the first line is JSON, the admin plane does the rest"
    )
    run_.add_argument("--host", default="127.0.0.1", help="where to listen (default: %(default)s)")
    run_.add_argument("--public-host", help="the host in the addresses that are given out (default: --host)")
    run_.add_argument("--admin-host", default="127.0.0.1", help="where the admin plane listens (default: %(default)s)")
    run_.add_argument("--admin-port", type=_port, default=0, help="its port (default: any free one)")
    run_.add_argument("--control-port", type=_port, default=0, help="port of the control plane (default: any free one)")
    run_.add_argument("--ports", type=_port_range, metavar="FIRST-LAST", help="take all ports from this range")
    run_.add_argument(
        "--listeners", type=_listeners, default=ALL_LISTENERS, metavar="NAME,...", help="only these (default: all)"
    )
    run_.add_argument("--exit-with-stdin", action="store_true", help="end when standard input is closed")
    run_.set_defaults(function=_run)

    serve = commands.add_parser("serve", help="serve one endpoint for a person: prints addresses, keys and a curl line")
    serve.add_argument("--profile", choices=tuple(PROFILES), default="managed-v2", help="default: %(default)s")
    serve.add_argument("--auth", choices=("off", "key", "token"), help="default: what the profile has by default")
    serve.add_argument("--name", default="diabetes", help="the name of the service (default: %(default)s)")
    serve.add_argument("--port", type=_port, default=DEFAULT_PORT, help="default: %(default)s; 0: any free one")
    serve.add_argument("--host", default="127.0.0.1", help="where to listen (default: %(default)s)")
    serve.add_argument("--tls", action="store_true", help="https, with a certificate that is made at start")
    serve.add_argument(
        "--faults",
        type=_faults,
        default=[],
        metavar="NAME,...",
        help=f"every second scoring request fails: {', '.join(FAULTS)}",
    )
    serve.add_argument("--journal", metavar="FILE", help="append every request, with its headers, as a line of JSON")
    serve.set_defaults(function=_serve)

    for name, help_, raw in (
        ("keys", "print the keys of a service of a running mock, as service.get_keys() gives them", "the primary key"),
        ("token", "print a token for a service, as `az ml service get-access-token` does", "the token"),
    ):
        ask = commands.add_parser(name, help=help_)
        ask.add_argument("-n", "--name", required=True, help="name of the service")
        ask.add_argument(
            "--url", default=f"http://127.0.0.1:{ADMIN_PORT}", help="the mock's admin plane (default: %(default)s)"
        )
        ask.add_argument("--raw", action="store_true", help=f"print {raw} alone")
        ask.set_defaults(function=_credentials)
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


def _faults(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in FAULTS:
            raise argparse.ArgumentTypeError(f"there is no fault {name!r}; there are {', '.join(FAULTS)}")
    return names


def _run(arguments: argparse.Namespace) -> int:
    options = Options(
        host=arguments.host,
        public_host=arguments.public_host,
        admin_host=arguments.admin_host,
        listeners=arguments.listeners,
        ports=arguments.ports,
        fixed_ports={ADMIN: arguments.admin_port, CONTROL: arguments.control_port},
    )

    async def started(server: Server) -> None:
        print(json.dumps(server.info), flush=True)

    return _serve_until_told(options, started, until_stdin_closes=arguments.exit_with_stdin)


def _serve(arguments: argparse.Namespace) -> int:
    profile = PROFILES[arguments.profile]
    if arguments.auth is not None and arguments.auth not in profile.auth_modes:
        raise UsageError(
            f"the profile {profile.name} has no authentication {arguments.auth!r}, only {', '.join(profile.auth_modes)}"
        )
    scheme = "https" if arguments.tls else "http"
    port = {scheme: arguments.port}
    with _journal(arguments.journal) as journal:
        options = Options(
            host=arguments.host,
            listeners=(scheme, ADMIN, CONTROL),
            wished_ports={ADMIN: ADMIN_PORT, CONTROL: CONTROL_PORT},
            fixed_ports={} if profile.dedicated else port,
            own_ports=port if profile.dedicated else {},
            journal=journal,
        )
        wish = Serve(arguments.profile, arguments.auth, arguments.name, arguments.tls, tuple(arguments.faults))
        return _serve_until_told(options, wish.start)


def _credentials(arguments: argparse.Namespace) -> int:
    from scoring_mock.control.credentials import NoCredentialsError, RunningMock  # a client: nothing else needs it

    try:
        mock = RunningMock(arguments.url)
        found = mock.keys(arguments.name) if arguments.command == "keys" else mock.token(arguments.name)
    except NoCredentialsError as error:
        raise UsageError(str(error)) from error
    if arguments.raw:
        print(found["primaryKey" if arguments.command == "keys" else "accessToken"])
    else:
        print(json.dumps(found, indent=2, sort_keys=True))
    return 0


def _journal(path: str | None) -> contextlib.AbstractContextManager[IO[str] | None]:
    """Open the file for the journal. It holds keys, as they were sent: only its owner may read it."""
    if path is None:
        return contextlib.nullcontext()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise UsageError(f"--journal: cannot write {path}: {error.strerror}") from error
    return open(descriptor, "a", encoding="ascii", buffering=1)  # noqa: PTH123


def _serve_until_told(
    options: Options, started: Callable[[Server], Awaitable[None]], *, until_stdin_closes: bool = False
) -> int:
    try:
        asyncio.run(run(options, started, until_stdin_closes=until_stdin_closes))
    except CannotListen as error:
        remedy = "; choose another port, or end the program that has it" if error.in_use else ""
        raise UsageError(f"{error}{remedy}") from error
    except SpecError as error:
        raise UsageError(str(error)) from error
    return 0
