"""What an adversarial review found once: each of these was broken."""

from __future__ import annotations

from typing import Any

from scoring_mock.wire.journal import Budget, ConnectionRecord, Entry, Journal, Journals


def begin(journal: Journal) -> Entry:
    return journal.begin(ConnectionRecord(1, "http", 0.0), 0.0, b"POST / HTTP/1.1", [b"Host: x"], "content-length")


def test_a_body_that_comes_after_its_request_was_pushed_out_takes_no_room() -> None:
    journal = Journal("x", Budget(), max_entries=10, max_bytes=50_000)
    slow = [begin(journal) for _ in range(10)]
    for _ in range(10):
        begin(journal)
    for entry in slow:
        journal.set_body(entry, b"x" * 10_000, complete=True)
    newest = begin(journal)
    journal.set_body(newest, b"kept", complete=True)
    kept = journal.to_json()
    assert len(kept["requests"]) == 10
    assert kept["requests"][-1]["body"] == "a2VwdA=="
    assert kept["dropped"] == {"requests": 11, "bytes": 100_000, "connections": 0}


def test_a_small_journal_does_not_suffer_from_large_ones() -> None:
    journals = Journals(max_bytes=100_000, max_total_bytes=150_000)
    for name in ("large", "larger"):
        for _ in range(5):
            journal = journals.of(name)
            journal.set_body(begin(journal), b"x" * (12_000 if name == "large" else 18_000), complete=True)
    small = journals.of("small")
    for _ in range(3):
        journals.of("small").set_body(begin(small), b"y" * 5_000, complete=True)
    assert small.to_json()["dropped"] == {"requests": 0, "bytes": 0, "connections": 0}
    assert [request["body_dropped"] for request in small.to_json()["requests"]] == [0, 0, 0]
    assert sum(journals.of(name).size for name in ("large", "larger", "small")) <= 150_000
    assert len(journals.of("larger").to_json()["requests"]) < len(journals.of("large").to_json()["requests"])


def test_a_journal_that_was_dropped_gives_its_room_back() -> None:
    journals = Journals(max_bytes=100_000, max_total_bytes=100_000)
    old = journals.of("old")
    entry = begin(old)
    journals.drop("old")
    old.set_body(entry, b"x" * 90_000, complete=False)
    new = journals.of("new")
    new.set_body(begin(new), b"y" * 90_000, complete=True)
    assert new.to_json()["dropped"] == {"requests": 0, "bytes": 0, "connections": 0}


def test_a_tls_goodbye_inside_a_body_is_answered(mock: Any) -> None:
    """A client that shuts TLS down in order waits for the server's goodbye; its own is no FIN."""
    service = mock.deploy()
    with service.connect("https") as raw:
        raw.send(f"POST {service.path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc".encode())
        raw._pump(raw.tls.unwrap)
    [entry] = service.requests()
    assert entry["body_complete"] is False
    assert entry["peer_closed"] is not None
