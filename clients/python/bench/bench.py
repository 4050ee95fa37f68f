"""Measure calls of the client, or of the bare HTTP stack as the quickstart uses it. Prints one JSON line.

python bench.py --mode bare|client --uri URI --calls N --warmup W --concurrency K --rows R

The key comes from SCORING_KEY. Not part of what is copied.
"""

import argparse
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import requests

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from scoring_client import ScoringClient, ScoringError

Call = Callable[[], list[float]]


class Stopped(Exception):
    """A call failed; the text is one line."""


def bare(uri: str, key: str, rows: list[list[float]], concurrency: int) -> Call:
    """Return the quickstart's call, on one kept pool."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=concurrency))

    def call() -> list[float]:
        reply = session.post(
            uri,
            json={"data": rows},
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=60,
            allow_redirects=False,
            auth=lambda request: request,
        )
        if not 200 <= reply.status_code <= 299:
            raise Stopped(f"the service answered {reply.status_code}")
        predictions = json.loads(reply.content)
        if not isinstance(predictions, list) or len(predictions) != len(rows):
            raise Stopped("the reply is not one prediction for each row")
        return predictions

    return call


def client(uri: str, key: str, rows: list[list[float]], _: int) -> Call:
    """Return the client's call, with default options."""
    made = ScoringClient(uri, key=key or None)
    return lambda: made.score(rows)


def run(call: Call, calls: int, concurrency: int) -> list[float]:
    """Make calls from some threads, and return the seconds that each took."""
    taken: list[float] = []
    failures: list[BaseException] = []
    left = iter(range(calls))
    lock = threading.Lock()

    def work() -> None:
        try:
            while not failures:
                with lock:
                    if next(left, None) is None:
                        return
                begin = time.perf_counter()
                call()
                taken.append(time.perf_counter() - begin)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return taken


def peak_rss_bytes() -> int:
    """Return the most memory that the process has had (Linux)."""
    found = re.search(r"VmHWM:\s+([0-9]+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(found[1]) * 1024 if found else 0


def main() -> None:
    """Read the arguments, warm up, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mode", choices=["bare", "client"], required=True)
    parser.add_argument("--uri", required=True)
    for name in ("calls", "concurrency", "rows"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--warmup", type=int, default=0)
    options = parser.parse_args()
    if min(options.calls, options.concurrency, options.rows) < 1 or options.warmup < 0:
        parser.error("calls, concurrency and rows must be above 0")
    rows = [[(row * 10 + column) / 7.0 for column in range(10)] for row in range(options.rows)]
    make = bare if options.mode == "bare" else client
    try:
        call = make(options.uri, os.environ.get("SCORING_KEY", ""), rows, options.concurrency)
        run(call, options.warmup, options.concurrency)
        begin, cpu = time.perf_counter(), time.process_time()
        taken = sorted(run(call, options.calls, options.concurrency))
        seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu
    except (Stopped, ScoringError, ValueError, requests.RequestException) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)
    measured = {
        "calls": options.calls,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "p50_us": taken[len(taken) // 2] * 1e6,
        "p99_us": taken[len(taken) * 99 // 100] * 1e6,
        "peak_rss_bytes": peak_rss_bytes(),
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
