"""Look for differences nobody thought of: random mutations of the corpus to the genuine server and to the mock.

    cd mock-server/truth && ../../.venv/bin/python -m differential.fuzz [--seed N] [--requests N]

A tool for developers, not part of a check: what it finds belongs into recordings/more.jsonl.
"""

from __future__ import annotations

import argparse
import random
import sys

from differential import genuine
from differential.check import ask
from differential.compare import difference, read_volatile
from differential.corpus import Await, Message, read_corpus, read_services
from differential.mock import Mock

_LARGEST = 3000  # bytes of a message that is worth mutating
_PIECES = (
    *(b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b";", b",", b'"', b"'", b"\x00", b"\xff", b"\xc3\xa9", b"\\", b"."),
    *(b"%", b"%2F", b"/", b"//", b"?", b"#", b"&", b"=", b"[", b"]", b"{", b"}", b"1", b"-", b"e9", b"NaN", b"null"),
    *(b"chunked", b"HTTP/1.0", b"Host: a\r\n", b"Content-Type: application/json\r\n", b"Connection: close\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n", b"Expect: 100-continue\r\n"),
    *(b"x-request-id: \r\n", b"Origin: https://b.example\r\n"),
)  # fmt: skip


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Change a request in one to three places."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        place = rng.randrange(len(data) + 1)
        match rng.choice(("insert", "insert", "delete", "replace", "replace", "line")):
            case "insert":
                data = data[:place] + rng.choice(_PIECES) + data[place:]
            case "delete":
                data = data[:place] + data[place + rng.choice((1, 1, 2, 5)) :]
            case "replace":
                data = data[:place] + rng.choice((rng.choice(_PIECES), rng.randbytes(1))) + data[place + 1 :]
            case "line":
                lines = data.split(b"\r\n")
                lines.insert(rng.randrange(len(lines)), rng.choice(lines))
                data = b"\r\n".join(lines)
    return data


def seeds() -> list[tuple[str, bytes]]:
    """Return the messages of the corpus that are worth mutating: service and bytes."""
    found = []
    for group in read_corpus().values():
        for message in group:
            data = b"".join(part for part in message.send if not isinstance(part, Await))
            if 0 < len(data) <= _LARGEST and not message.stays_open:
                found.append((message.service, data))
    return found


def main(arguments: list[str]) -> int:
    """Send mutations, print every difference; 1 if there were any."""
    parser = argparse.ArgumentParser(prog="differential.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="of the random choices (default: 1)")
    parser.add_argument("--requests", type=int, default=1000, help="how many (default: 1000)")
    options = parser.parse_args(arguments)
    rng = random.Random(options.seed)  # noqa: S311 repeatable, not secret
    corpus, services, volatile = seeds(), read_services(), read_volatile()
    differences = 0
    with Mock() as mock, genuine.running(genuine.interpreter(), services) as servers:
        mock_at = mock.containers({name: service.mock for name, service in services.items()})
        for number in range(options.requests):
            service, data = rng.choice(corpus)
            message = Message(f"{options.seed}/{number}", service, (mutated(data, rng),), shutdown=True)
            wanted, got = ask(message, servers[service].address), ask(message, mock_at[service])
            found = difference(wanted, got, volatile, ("genuine", "mock"))
            if found:
                differences += 1
                print(f"-- {message.id}, service {service}: {message.send[0]!r}\n{found}")
    print(f"{options.requests} mutated requests (seed {options.seed}), {differences} differences")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
