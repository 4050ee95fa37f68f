"""The environment's proxies: used for other hosts, never for loopback."""

import base64
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from raw_server import PATIENCE, RawServer, close, drip, read_request, refused_port, reply, silence
from scoring_client import ScoringClient, TransportError

Serve = Callable[..., RawServer]


@pytest.mark.parametrize(
    ("uri", "line"),
    [
        ("HTTP://Service.test/Score", "POST http://Service.test/Score HTTP/1.1"),
        ("http://Service.test", "POST http://Service.test/ HTTP/1.1"),
        ("http://Service.test?x=1", "POST http://Service.test/?x=1 HTTP/1.1"),
    ],
)
def test_what_a_proxy_is_asked_for(serve: Serve, monkeypatch: pytest.MonkeyPatch, uri: str, line: str) -> None:
    proxy = serve(reply([0.5]))
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
    with ScoringClient(uri) as client:
        assert client.score([[1.5]]) == [0.5]
    assert proxy.requests[0].line == line
    assert proxy.requests[0].header("Host") == "Service.test"


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_plain_http_is_forwarded(serve: Serve, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    proxy = serve(reply([0.5]), reply([0.25]))
    monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
    with ScoringClient("http://service.test:81/a%2fb?x=%2f", key="Zk3vWq8RsT", allow_insecure_http=True) as client:
        assert client.score([[1.5]]) == [0.5]
        assert client.score([[1.5]]) == [0.25]
    request = proxy.requests[0]
    assert request.line == "POST http://service.test:81/a%2fb?x=%2f HTTP/1.1"
    assert request.header("Host") == "service.test:81"
    assert request.header("Authorization") == "Bearer Zk3vWq8RsT"
    assert request.header("Proxy-Authorization") is None


def test_proxy_credentials(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = serve(reply([0.5]))
    monkeypatch.setenv("http_proxy", f"someone:p%40ss@127.0.0.1:{proxy.port}")
    with ScoringClient("http://service.test/score") as client:
        client.score([[1.5]])
    expected = "Basic " + base64.b64encode(b"someone:p@ss").decode()
    assert proxy.requests[0].header("Proxy-Authorization") == expected


def test_https_goes_through_a_tunnel(serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    inside: list[bytes] = []

    def tunnel(stream: socket.socket) -> bool:
        stream.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("service.test").configure_cert(tls)
        with tls.wrap_socket(stream.dup(), server_side=True) as service:
            service.settimeout(PATIENCE)
            inside.append(read_request(service))
            return reply([0.5])(service)

    proxy = serve(tunnel)
    monkeypatch.setenv("https_proxy", f"http://someone:pass@127.0.0.1:{proxy.port}")
    with ScoringClient("https://service.test/score", key="Zk3vWq8RsT") as client:
        assert client.score([[1.5]]) == [0.5]
    [connect] = proxy.requests
    assert connect.line.startswith("CONNECT service.test:443 HTTP/1.")
    assert connect.header("Proxy-Authorization") is not None
    assert connect.header("Authorization") is None
    assert inside[0].startswith(b"POST /score HTTP/1.1\r\n")
    assert b"Authorization: Bearer Zk3vWq8RsT\r\n" in inside[0]
    assert b"Proxy-Authorization" not in inside[0]


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "502 Bad Gateway"])
def test_a_refused_tunnel_is_a_transport_error(serve: Serve, monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    proxy = serve(close(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()))
    monkeypatch.setenv("https_proxy", f"http://someone:hunter2@127.0.0.1:{proxy.port}")
    with ScoringClient("https://service.test/score") as client, pytest.raises(TransportError) as caught:
        client.score([[1.5]])
    assert f": the proxy refused the tunnel: {status[:3]} (1 attempt)" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert not caught.value.timed_out


# Proves B30.
def test_connect_timeout_bounds_the_tunnel(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = serve(silence())
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
    with (
        ScoringClient("https://service.test/score", connect_timeout=0.15, max_retries=0) as client,
        pytest.raises(TransportError, match=r"no connection within 0\.15 s") as caught,
    ):
        client.score([[1.5]])
    assert caught.value.timed_out
    assert proxy.hung_up.wait(PATIENCE)


# Proves B30.
def test_connect_timeout_bounds_the_handshake_inside_the_tunnel_of_an_https_proxy(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    proxy = serve(drip(b"HTTP/1.1 200 Connection established\r\n\r\n", b"\x16\x03\x03\x3f\xff"), tls=tls)
    monkeypatch.setenv("https_proxy", proxy.uri)
    client = ScoringClient(
        "https://service.test/score", ca_file=str(tmp_path / "ca.pem"), connect_timeout=0.5, max_retries=0
    )
    with client, pytest.raises(TransportError, match=r"no connection within 0\.5 s"):
        client.score([[1.5]])
    assert proxy.requests[0].line.startswith("CONNECT service.test:443")
    assert proxy.hung_up.wait(PATIENCE)


def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with refused_port() as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        client = ScoringClient("http://service.test/score", max_retries=0)
        with client, pytest.raises(TransportError, match="/score: connection refused") as caught:
            client.score([[1.5]])
    assert not caught.value.timed_out


# Proves B02.
def test_loopback_is_never_proxied(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, server = serve(), serve(reply([0.5]))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    with ScoringClient(server.uri, key="Zk3vWq8RsT") as client:
        assert client.score([[1.5]]) == [0.5]
    assert proxy.connections == 0


# Proves B02.
def test_the_option_wins_over_the_environment(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, other = serve(reply([0.5])), serve()
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{other.port}")
    monkeypatch.setenv("no_proxy", "service.test")
    with ScoringClient("http://service.test/score", proxy=f"http://127.0.0.1:{proxy.port}") as client:
        assert client.score([[1.5]]) == [0.5]
    assert proxy.requests[0].line == "POST http://service.test/score HTTP/1.1"
    assert other.connections == 0


# Proves B02.
def test_the_option_is_not_for_loopback(serve: Serve) -> None:
    proxy, server = serve(), serve(reply([0.5]))
    with ScoringClient(server.uri, proxy=f"http://127.0.0.1:{proxy.port}") as client:
        assert client.score([[1.5]]) == [0.5]
    assert proxy.connections == 0


# Proves B41.
def test_a_refused_tunnel_is_not_asked_for_again(serve: Serve) -> None:
    refusal = close(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
    proxy = serve(refusal, refusal)
    client = ScoringClient("https://service.test/score", proxy=f"http://127.0.0.1:{proxy.port}")
    with client, pytest.raises(TransportError) as caught:
        client.score([[1.5]])
    assert (caught.value.attempts, len(proxy.requests)) == (1, 1)


@pytest.mark.parametrize("hosts", ["service.test", ".test", "*"])
def test_no_proxy(monkeypatch: pytest.MonkeyPatch, serve: Serve, hosts: str) -> None:
    proxy, server = serve(), serve(reply([0.5]))
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("no_proxy", hosts)
    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _host, *rest: look_up("127.0.0.1", *rest))
    with ScoringClient(f"http://service.test:{server.port}/score") as client:
        assert client.score([[1.5]]) == [0.5]
    assert proxy.connections == 0


@pytest.mark.parametrize("proxy", ["socks5://someone:hunter2@proxy.test", "http://someone:hunter2@", "http://[hunter2"])
def test_a_proxy_that_makes_no_sense(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(ValueError) as caught:
        ScoringClient("http://service.test/score")
    assert str(caught.value) == "the proxy in the environment must be an http or https URL"
