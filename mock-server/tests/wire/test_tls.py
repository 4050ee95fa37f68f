"""TLS listeners, seen by a client: versions, certificates, alerts, and handshakes that break."""

from __future__ import annotations

import base64
import socket
import ssl
from typing import Any

import pytest

TLS12 = ssl.TLSVersion.TLSv1_2
TLS13 = ssl.TLSVersion.TLSv1_3
# A client that speaks only TLS 1.1 is refused by OpenSSL's own policy, so its hello is made by hand.
HELLO_TLS11 = bytes.fromhex(
    "16030100360100003203020000000000000000000000000000000000000000000000000000000000000000000004c013c00901000005ff01000100"
)


def speak(mock: Any, raw_type: Any, listener: str, lowest: Any = TLS12, highest: Any = TLS13) -> str | None:
    context = mock.context
    context.minimum_version, context.maximum_version = lowest, highest
    with raw_type(mock.port(listener), context) as raw:
        raw.send(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert raw.rest()[0].startswith(b"HTTP/1.1 404 ")
        version: str | None = raw.tls.version()
        return version


@pytest.mark.parametrize(
    ("listener", "version"), [("https", "TLSv1.2"), ("https-tls13", "TLSv1.3"), ("https-tls12-tls13", "TLSv1.3")]
)
def test_version_of_a_client_that_speaks_both(mock: Any, raw: Any, listener: str, version: str) -> None:
    assert speak(mock, raw, listener) == version


def test_https_of_v1_refuses_tls13(mock: Any, raw: Any) -> None:
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        speak(mock, raw, "https", TLS13, TLS13)


def test_tls13_only_refuses_tls12(mock: Any, raw: Any) -> None:
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        speak(mock, raw, "https-tls13", TLS12, TLS12)


def test_the_alert_and_then_a_fin_reach_the_client(mock: Any) -> None:
    with socket.create_connection(("127.0.0.1", mock.port("https")), timeout=10) as sock:
        sock.sendall(HELLO_TLS11)
        data = b""
        while piece := sock.recv(1000):
            data += piece
    assert (data[:1], data[3:]) == (b"\x15", b"\x00\x02\x02\x46")  # an alert: fatal, protocol_version


@pytest.mark.parametrize(
    ("listener", "reason"),
    [
        ("https-wrong-host", "IP address mismatch"),
        ("https-expired", "certificate has expired"),
        ("https-unknown-ca", "unable to get local issuer certificate"),
    ],
)
def test_certificates_that_a_client_must_refuse(mock: Any, raw: Any, listener: str, reason: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        speak(mock, raw, listener)


@pytest.mark.parametrize("listener", ["https-wrong-host", "https-expired", "https-unknown-ca"])
def test_they_are_wrong_in_that_one_way_only(mock: Any, raw: Any, listener: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with raw(mock.port(listener), context) as connection:
        connection.send(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert connection.rest()[0].startswith(b"HTTP/1.1 404 ")


def test_names_of_the_good_certificate(mock: Any, raw: Any) -> None:
    for name in ("127.0.0.1", "localhost", "::1"):
        with raw(mock.port("https"), mock.context, name) as connection:
            assert connection.tls.getpeercert()


def test_plain_http_on_the_https_port(mock: Any, raw: Any) -> None:
    with raw(mock.port("https")) as connection:
        connection.send(b"GET / HTTP/1.1\r\n\r\n")
        data, end = connection.rest()
    assert data.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert data.endswith(b"\r\n\r\nThis port speaks https; the request was http.")
    assert end == "fin"


def test_a_port_that_should_speak_tls_and_does_not(mock: Any, raw: Any) -> None:
    with pytest.raises(ssl.SSLError, match="WRONG_VERSION_NUMBER"):
        speak(mock, raw, "https-no-tls")


@pytest.mark.parametrize("kind", ["close", "reset", "silence"])
def test_handshake_that_breaks(mock: Any, hello: bytes, raw: Any, kind: str) -> None:
    with raw(mock.port(f"https-handshake-{kind}")) as connection:
        connection.send(hello)
        if kind == "silence":
            assert connection.receive()[:1] == b"\x16"
            assert connection.is_silent()
        else:
            data, end = connection.rest()
            assert data[:1] == b"\x16"  # a part of the server's first flight, no alert
            assert end == ("fin" if kind == "close" else "reset")


def test_refused(mock: Any) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", mock.port("http-refused")), timeout=10)


def test_what_a_client_did_with_a_certificate_is_in_the_journal(mock: Any, raw: Any) -> None:
    service = mock.own_listeners("https-unknown-ca")
    with pytest.raises(ssl.SSLCertVerificationError):
        raw(service.port("https-unknown-ca"), mock.context)
    mock.wait_for(lambda: service.connections()[0]["closed"] is not None)
    [connection] = service.connections()
    assert connection["tls"] == "failed: TLSV1_ALERT_UNKNOWN_CA"
    assert connection["requests"] == 0


@pytest.mark.parametrize("listener", ["http", "https"])
def test_faults_of_the_first_connections(mock: Any, raw: Any, hello: bytes, listener: str) -> None:
    service = mock.own_listeners(listener, faults=("reset", None, "close"))
    ends = []
    for number in range(4):
        with raw(service.port(listener)) as connection:
            connection.send(service.request() if listener == "http" else hello)
            if number in (0, 2):
                ends.append(connection.rest()[1])
            else:
                assert connection.receive()
    assert ends == ["reset", "fin"]
    assert [record["fault"] for record in service.connections()] == ["reset", None, "close", None]


@pytest.mark.parametrize("listener", ["https", "https-tls13"])
def test_large_bodies_both_ways(mock: Any, listener: str) -> None:
    service = mock.scripted({"body": {"text": "0123456789", "repeat": 300_000}, "close": True})
    with service.connect(listener) as raw:
        raw.send(service.request(b"x" * 3_000_000))
        data, end = raw.rest()
    assert data.partition(b"\r\n\r\n")[2] == b"0123456789" * 300_000
    assert end == "fin"
    [entry] = service.requests()
    assert base64.b64decode(entry["body"]) == b"x" * 3_000_000
