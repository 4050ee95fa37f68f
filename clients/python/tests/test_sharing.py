"""One client for many threads, and what is left when it is closed (B03)."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from raw_server import PATIENCE, Play, RawServer, close, eventually, first_cells, message, reply, silence
from scoring_client import ScoringClient, TransportError

Serve = Callable[..., RawServer]
CALLERS = 64


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """Looked at when the test's own servers have ended, which are made later."""
    before = set(threading.enumerate())
    yield
    assert eventually(lambda: set(threading.enumerate()) <= before), threading.enumerate()


# Proves B03.
def test_64_callers_get_their_own_answers_over_kept_connections(serve: Serve) -> None:
    server = serve(echo=True)
    together = threading.Barrier(CALLERS)

    def call(number: int) -> bool:
        together.wait(PATIENCE)
        return all(client.score([[number], [again]]) == [number, again] for again in range(10))

    with ScoringClient(server.uri, key="Zk3vWq8RsT") as client, ThreadPoolExecutor(CALLERS) as threads:
        assert all(threads.map(call, range(CALLERS)))
        assert len(server.requests) == CALLERS * 10
        assert server.connections <= CALLERS
    assert eventually(lambda: server.still_open == 0)


# Proves B03.
def test_a_closed_client_lets_its_calls_end(serve: Serve) -> None:
    asked, closed = threading.Event(), threading.Event()

    def late(stream: Any) -> bool:
        asked.set()
        assert closed.wait(PATIENCE)
        stream.sendall(message([0.5]))
        return True

    server = serve(reply([0.25]), late)
    client = ScoringClient(server.uri)
    client.score([[1.5]])
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(client.score, [[1.5]])
        assert asked.wait(PATIENCE)
        client.close()
        with pytest.raises(RuntimeError, match="the client is closed"):
            client.score([[1.5]])
        closed.set()
        assert answer.result() == [0.5]
    assert eventually(lambda: server.still_open == 0)
    assert len(server.requests) == 2


# Proves B03.
def test_a_closed_client_lets_its_calls_be_repeated(serve: Serve) -> None:
    server = serve(reply({}, 503), reply([0.5]))
    client = ScoringClient(server.uri)
    client._sleep = lambda _: client.close()
    assert client.score([[1.5]]) == [0.5]
    with pytest.raises(RuntimeError, match="the client is closed"):
        client.score([[1.5]])
    assert eventually(lambda: server.still_open == 0)
    assert len(server.requests) == 2


# Proves B03, B31.
@pytest.mark.parametrize("play", [silence(), silence(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[")])
def test_nothing_is_left_of_calls_whose_time_was_up(serve: Serve, play: Play) -> None:
    server = serve(*[play] * 8)
    with ScoringClient(server.uri, timeout=0.15) as client, ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(client.score, [[1.5]]) for _ in range(8)]
        assert all(isinstance(call.exception(), TransportError) for call in calls)
        assert eventually(lambda: server.still_open == 0)  # also before close


# Proves B03, B40.
def test_the_connection_of_a_failed_attempt_is_not_used_again(serve: Serve) -> None:
    server = serve(close(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n["), first_cells(b'\r\n\r\n{"data":[[2.5]]}'))
    with ScoringClient(server.uri) as client:
        client._sleep = lambda _: None
        assert client.score([[2.5]]) == [2.5]
    assert server.connections == 2
    assert eventually(lambda: server.still_open == 0)
