"""The token provider: called once for all, again when the time has come or the service refuses (B20, B21, B24, B25)."""

import datetime
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import scoring_client
from raw_server import PATIENCE, RawServer, close, eventually, message, reply
from scoring_client import AccessToken, ScoringClient, ServiceError, TransportError

Serve = Callable[..., RawServer]
NOW = 784111740.0
REFUSED = reply({"message": "no such token"}, 401)
OK = reply([0.5])


class Provider:
    """Gives what it was made with, one after the other; an exception is raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls = 0
        self.threads: list[threading.Thread] = []

    def __call__(self) -> AccessToken:
        self.calls += 1
        self.threads.append(threading.current_thread())
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The wall clock, at `now`; the monotonic one goes on."""
    made = SimpleNamespace(now=NOW, monotonic=scoring_client.time.monotonic, sleep=lambda _: None)  # type: ignore[attr-defined]
    made.time = lambda: made.now
    monkeypatch.setattr(scoring_client, "time", made)
    return made


def score(client: ScoringClient) -> list[float]:
    return client.score([[1.5]])


def sent(server: RawServer) -> list[str | None]:
    return [(request.header("Authorization") or "").removeprefix("Bearer ") for request in server.requests]


def count_callers(client: ScoringClient) -> threading.Semaphore:
    """Count those who come for a token."""
    came, tokens = threading.Semaphore(0), client._tokens
    assert tokens is not None
    get = tokens.get

    def counted(call: Any, refused: str | None) -> str:
        came.release()
        return get(call, refused)

    tokens.get = counted  # type: ignore[method-assign]
    return came


# Proves B14, B24.
def test_called_when_needed_and_kept(serve: Serve) -> None:
    provider = Provider(AccessToken("T1"))
    server = serve(OK, OK)
    with ScoringClient(server.uri, token_provider=provider) as client:
        assert provider.calls == 0
        assert [score(client), score(client)] == [[0.5], [0.5]]
    assert (provider.calls, sent(server)) == (1, ["T1", "T1"])
    assert provider.threads[0] is not threading.current_thread()
    assert provider.threads[0].daemon


# Proves B24.
def test_called_again_when_it_is_time(serve: Serve, clock: SimpleNamespace) -> None:
    provider = Provider(AccessToken("T1", NOW + 60), AccessToken("T2", NOW + 120))
    server = serve(OK, OK, OK)
    with ScoringClient(server.uri, token_provider=provider) as client:
        score(client)
        clock.now = NOW + 59.9
        score(client)
        clock.now = NOW + 60
        score(client)
    assert sent(server) == ["T1", "T1", "T2"]


# Proves B24.
def test_called_again_between_attempts(serve: Serve, clock: SimpleNamespace) -> None:
    provider = Provider(AccessToken("T1", NOW + 60), AccessToken("T2"))
    server = serve(reply({}, 503), OK)
    with ScoringClient(server.uri, token_provider=provider) as client:
        client._sleep = lambda _: setattr(clock, "now", NOW + 61)
        assert score(client) == [0.5]
    assert sent(server) == ["T1", "T2"]


# Proves B24.
def test_one_fetch_for_64_callers(serve: Serve) -> None:
    released = threading.Event()
    calls = 0

    def provide() -> AccessToken:
        nonlocal calls
        calls += 1
        assert released.wait(PATIENCE)
        return AccessToken("T1")

    server = serve(echo=True)
    with ScoringClient(server.uri, token_provider=provide) as client, ThreadPoolExecutor(64) as threads:
        waiting = count_callers(client)
        answers = [threads.submit(client.score, [[number]]) for number in range(64)]
        for _ in range(64):
            assert waiting.acquire(timeout=PATIENCE)
        released.set()
        assert [answer.result() for answer in answers] == [[float(number)] for number in range(64)]
    assert calls == 1
    assert set(sent(server)) == {"T1"}


# Proves B24, B32.
def test_one_who_gives_up_does_not_end_the_fetch(serve: Serve) -> None:
    released = threading.Event()
    provider = Provider(AccessToken("T1"))

    def provide() -> AccessToken:
        assert released.wait(PATIENCE)
        return provider()

    server = serve(OK)
    with ScoringClient(server.uri, token_provider=provide) as client:
        with pytest.raises(TransportError) as caught:
            client.score([[1.5]], timeout=0.15)
        assert (caught.value.timed_out, caught.value.attempts) == (True, 0)
        assert str(caught.value) == f"POST {server.uri}: no token within 0.15 s (0 attempts)"
        with ThreadPoolExecutor(1) as threads:
            answer = threads.submit(score, client)
            released.set()
            assert answer.result() == [0.5]
    assert provider.calls == 1


class ProviderFailed(Exception):
    pass


# Proves B24, B60.
@pytest.mark.parametrize("kind", [ProviderFailed, TimeoutError, OSError, ValueError])
def test_what_the_provider_raises_reaches_all_who_wait_unchanged(serve: Serve, kind: type[Exception]) -> None:
    failure = kind("no identity here")
    released = threading.Event()

    def provide() -> AccessToken:
        assert released.wait(PATIENCE)
        raise failure

    server = serve()
    with ScoringClient(server.uri, token_provider=provide) as client, ThreadPoolExecutor(8) as threads:
        waiting = count_callers(client)
        callers = [threads.submit(score, client) for _ in range(8)]
        for _ in callers:
            assert waiting.acquire(timeout=PATIENCE)
        released.set()
        assert all(caller.exception() is failure for caller in callers)
    assert server.connections == 0


# Proves B24.
def test_a_provider_that_failed_is_called_again_by_the_next_call(serve: Serve) -> None:
    provider = Provider(ProviderFailed(), AccessToken("T1"))
    with ScoringClient(serve(OK).uri, token_provider=provider) as client:
        with pytest.raises(ProviderFailed):
            score(client)
        assert provider.calls == 1
        assert score(client) == [0.5]


# Proves B24.
@pytest.mark.parametrize("answer", [ProviderFailed(), AccessToken(""), AccessToken("T2\n"), None])
def test_the_old_token_serves_while_a_refresh_fails(serve: Serve, clock: SimpleNamespace, answer: Any) -> None:
    provider = Provider(AccessToken("T1", NOW + 60), answer, AccessToken("T3"))
    server = serve(OK, OK, OK)
    with ScoringClient(server.uri, token_provider=provider) as client:
        score(client)
        clock.now = NOW + 60
        score(client)
        assert provider.calls == 2
        score(client)
    assert sent(server) == ["T1", "T1", "T3"]


# Proves B25.
def test_a_refused_token_is_replaced_and_the_call_sent_again_at_once(serve: Serve) -> None:
    provider = Provider(AccessToken("T1"), AccessToken("T2"))
    server = serve(REFUSED, OK, OK)
    hook: list[Any] = []
    with ScoringClient(server.uri, token_provider=provider, max_retries=0, on_retry=hook.append) as client:
        client._sleep = hook.append
        assert score(client) == [0.5]
        score(client)
    assert (sent(server), hook) == (["T1", "T2", "T2"], [])
    assert len({request.header("x-ms-client-request-id") for request in server.requests[:2]}) == 1


# Proves B25.
def test_a_new_token_that_is_overdue_already_is_still_used(serve: Serve) -> None:
    provider = Provider(AccessToken("T1", 0.0), AccessToken("T2", 0.0))
    server = serve(REFUSED, OK)
    with ScoringClient(server.uri, token_provider=provider) as client:
        assert score(client) == [0.5]
    assert sent(server) == ["T1", "T2"]


# Proves B25, B60.
def test_at_most_once_in_a_call(serve: Serve) -> None:
    provider = Provider(*(AccessToken(f"T{number}") for number in range(1, 5)))
    server = serve(REFUSED, REFUSED, reply({}, 503), REFUSED)
    with ScoringClient(server.uri, token_provider=provider) as client, pytest.raises(ServiceError) as caught:
        score(client)
    assert (caught.value.status, caught.value.attempts) == (401, 2)
    server = serve(REFUSED, reply({}, 503), REFUSED)
    client = ScoringClient(server.uri, token_provider=provider)
    client._sleep = lambda _: None
    with client, pytest.raises(ServiceError) as caught:
        score(client)
    assert (caught.value.status, caught.value.attempts) == (401, 3)


# Proves B25.
def test_the_resend_is_not_counted_as_a_retry(serve: Serve) -> None:
    provider = Provider(AccessToken("T1"), AccessToken("T2"))
    server = serve(reply({}, 503), REFUSED, reply({}, 503), reply({}, 503), OK)
    waits: list[float] = []
    with ScoringClient(server.uri, token_provider=provider) as client:
        client._sleep = waits.append
        assert score(client) == [0.5]
    assert (len(server.requests), len(waits)) == (5, 3)


# Proves B25.
def test_the_same_token_again_is_no_reason_to_send_again(serve: Serve) -> None:
    provider = Provider(AccessToken("T1"), AccessToken("T1"), AccessToken("T2"))
    server = serve(REFUSED, OK)
    with ScoringClient(server.uri, token_provider=provider) as client:
        with pytest.raises(ServiceError) as caught:
            score(client)
        assert (caught.value.status, caught.value.attempts) == (401, 1)
        assert score(client) == [0.5]  # nothing was kept
    assert sent(server) == ["T1", "T2"]


# Proves B24, B25.
def test_what_the_provider_raises_after_a_401(serve: Serve) -> None:
    failure = ProviderFailed()
    provider = Provider(AccessToken("T1"), failure, AccessToken("T2"))
    server = serve(REFUSED, OK)
    with ScoringClient(server.uri, token_provider=provider) as client:
        with pytest.raises(ProviderFailed) as caught:
            score(client)
        assert caught.value is failure
        assert score(client) == [0.5]  # the refused token is gone
    assert sent(server) == ["T1", "T2"]


# Proves B24, B25.
def test_calls_that_were_refused_together_share_one_fetch(serve: Serve) -> None:
    provider = Provider(AccessToken("T1"), AccessToken("T2"))
    together = threading.Barrier(8)

    def refuse(stream: Any) -> bool:
        together.wait(PATIENCE)
        stream.sendall(message({"message": "no"}, 401))
        return True

    server = serve(*[refuse] * 8, echo=True)
    with ScoringClient(server.uri, token_provider=provider) as client, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda number: client.score([[number]]), range(8)))
    assert answers == [[float(number)] for number in range(8)]
    assert provider.calls == 2


# Proves B25.
def test_a_key_is_not_sent_again(serve: Serve) -> None:
    server = serve(REFUSED, OK)
    with ScoringClient(server.uri, key="T1") as client, pytest.raises(ServiceError):
        score(client)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (AccessToken(""), ValueError, "the token is empty"),
        (
            AccessToken("Zk3vWq8RsT\n"),
            ValueError,
            "the token has a character that cannot be sent in a header at position 10 (a trailing newline?)",
        ),
        (
            AccessToken("Zk3vWq\r\nX-Injected: 1"),
            ValueError,
            "the token has a character that cannot be sent in a header at position 6 (a trailing newline?)",
        ),
        (AccessToken(None), TypeError, "the token must be a str, not NoneType"),  # type: ignore[arg-type]
        (None, TypeError, "the token provider must return an AccessToken, not NoneType"),
        ("Zk3vWq8RsT", TypeError, "the token provider must return an AccessToken, not str"),
    ],
)
# Proves B20.
def test_a_token_that_cannot_travel(serve: Serve, answer: Any, kind: type[Exception], text: str) -> None:
    server = serve()
    with ScoringClient(server.uri, token_provider=Provider(answer)) as client, pytest.raises(kind) as caught:
        score(client)
    assert str(caught.value) == text
    assert server.connections == 0


# Proves B21.
def test_old_and_new_token_are_hidden(serve: Serve) -> None:
    provider = Provider(AccessToken("Zk3vWq"), AccessToken("Zk3vWq8RsT"))
    server = serve(REFUSED, reply({"message": "Zk3vWq8RsT and Zk3vWq"}, 403, ("x-request-id", "Zk3vWq8RsT")))
    with ScoringClient(server.uri, token_provider=provider) as client, pytest.raises(ServiceError) as caught:
        score(client)
    assert caught.value.message == "*** and ***"
    assert "Zk3" not in str(caught.value)


# Proves B21.
def test_a_token_is_not_shown() -> None:
    token = AccessToken("Zk3vWq8RsT", 5.0)
    assert repr(token) == str(token) == "AccessToken(refresh_by=5.0)"


# Proves B25, B71.
def test_health_asks_for_a_new_token_too(serve: Serve) -> None:
    provider = Provider(AccessToken("T1"), AccessToken("T2"))
    server = serve(REFUSED, reply(b"Healthy"))
    with ScoringClient(server.uri, token_provider=provider) as client:
        assert client.is_healthy()
    assert sent(server) == ["T1", "T2"]


# Proves B23.
def test_tokens_over_plain_http() -> None:
    with pytest.raises(ValueError, match="over plain http"):
        ScoringClient("http://service.test/score", token_provider=Provider())


# Proves B24.
def test_the_thread_of_a_fetch_ends(serve: Serve) -> None:
    provider = Provider(AccessToken("T1"))
    with ScoringClient(serve(close()).uri, token_provider=provider, max_retries=0) as client:
        with pytest.raises(TransportError):
            score(client)
        assert eventually(lambda: not provider.threads[0].is_alive())


# Proves B24.
def test_a_fetch_that_cannot_begin_is_not_waited_for(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(OK)
    with ScoringClient(server.uri, token_provider=lambda: AccessToken("t1")) as client:

        def cannot(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as once:
            once.setattr(scoring_client.threading.Thread, "start", cannot)  # type: ignore[attr-defined]
            with pytest.raises(RuntimeError, match="can't start new thread"):
                score(client)
        assert score(client) == [0.5]


# Proves B02.
def test_a_datetime_is_no_refresh_by() -> None:
    with pytest.raises(TypeError, match=r"^refresh_by must be seconds since the epoch, not datetime$"):
        AccessToken("t1", datetime.datetime.now())  # type: ignore[arg-type]
