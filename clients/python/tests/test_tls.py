"""https: what is verified, and which versions are spoken (B17, B18, B40, B41)."""

import datetime
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from raw_server import PATIENCE, RawServer, drip, reply, silence
from scoring_client import ScoringClient, TransportError

Serve = Callable[..., RawServer]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The authority is all that the system trusts."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))


def context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(made)
    return made


def refused(server: RawServer, **options: str) -> TransportError:
    client = ScoringClient(server.uri, key="Zk3vWq8RsT", max_retries=0, **options)  # type: ignore[arg-type]
    with client, pytest.raises(TransportError) as caught:
        client.score([[1.5]])
    assert server.requests == []
    assert not caught.value.timed_out
    assert caught.value.reason.startswith("TLS failed: ")
    assert isinstance(caught.value.__cause__, Exception)
    return caught.value


# Proves B17, B18.
@pytest.mark.usefixtures("trusted")
def test_verified(serve: Serve, authority: trustme.CA) -> None:
    server = serve(reply([0.5]), reply([0.25]), tls=context(authority.issue_cert("127.0.0.1")))
    with ScoringClient(server.uri, key="Zk3vWq8RsT") as client:
        assert client.score([[1.5]]) == [0.5]
        assert client.score([[1.5]]) == [0.25]
    assert server.connections == 1
    assert server.requests[0].line == "POST /score HTTP/1.1"


# Proves B02.
def test_ca_file_is_trusted(serve: Serve, authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = serve(reply([0.5]), tls=context(authority.issue_cert("127.0.0.1")))
    with ScoringClient(server.uri, ca_file=str(tmp_path / "ca.pem")) as client:
        assert client.score([[1.5]]) == [0.5]


# Proves B02, B18.
@pytest.mark.usefixtures("trusted")
def test_ca_file_stands_in_place_of_the_system(serve: Serve, authority: trustme.CA, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    server = serve(tls=context(authority.issue_cert("127.0.0.1")))
    error = refused(server, ca_file=str(tmp_path / "other.pem"))
    assert "certificate verify failed" in str(error)


# Proves B02.
def test_ca_file_of_a_certificate_that_is_no_authority(authority: trustme.CA, tmp_path: Path) -> None:
    authority.issue_cert("127.0.0.1").cert_chain_pems[0].write_to_path(str(tmp_path / "leaf.pem"))
    ScoringClient("https://127.0.0.1/score", ca_file=str(tmp_path / "leaf.pem")).close()


PEM = b"-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n"


# Proves B02.
@pytest.mark.parametrize(
    "content", [b"", b"\n", b"\0\xff", b"no PEM here", PEM % b"", PEM % b"AAAA", b"-----BEGIN CERTIFICATE-----\nAAAA"]
)
@pytest.mark.parametrize("uri", ["https://service.test/score", "http://127.0.0.1/score"])
def test_ca_files_without_a_certificate(tmp_path: Path, content: bytes, uri: str) -> None:
    (tmp_path / "ca.pem").write_bytes(content)
    with pytest.raises(ValueError, match=r"^the CA file holds no certificate$"):
        ScoringClient(uri, ca_file=str(tmp_path / "ca.pem"))


# Proves B02.
def test_ca_file_with_one_good_and_one_broken_certificate(tmp_path: Path, authority: trustme.CA) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes() + PEM % b"AAAA")
    with pytest.raises(ValueError, match=r"^the CA file holds no certificate$"):
        ScoringClient("https://service.test/score", ca_file=str(tmp_path / "ca.pem"))


# Proves B02.
@pytest.mark.parametrize(
    ("name", "reason"), [("missing", "No such file or directory"), (".", "Is a directory"), ("", "Is a directory")]
)
def test_ca_files_that_cannot_be_read(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=rf"^the CA file cannot be read: {reason}$"):
        ScoringClient("https://service.test/score", ca_file=str(tmp_path / name) if name else "")


# Proves B18.
@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_that_are_spoken(serve: Serve, authority: trustme.CA, version: ssl.TLSVersion) -> None:
    tls = context(authority.issue_cert("127.0.0.1"))
    tls.minimum_version = tls.maximum_version = version
    with ScoringClient(serve(reply([0.5]), tls=tls).uri) as client:
        assert client.score([[1.5]]) == [0.5]


# Proves B18, B41.
@pytest.mark.usefixtures("trusted")
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_1_1_is_not_spoken(serve: Serve, authority: trustme.CA) -> None:
    tls = context(authority.issue_cert("127.0.0.1"))
    tls.set_ciphers("DEFAULT:@SECLEVEL=0")
    tls.minimum_version = tls.maximum_version = ssl.TLSVersion.TLSv1_1
    assert "SSL" in str(refused(serve(tls=tls)))


@pytest.mark.usefixtures("trusted")
def test_minimum_version_is_ours_whatever_the_system_says(monkeypatch: pytest.MonkeyPatch) -> None:
    made = ssl.create_default_context()
    made.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    monkeypatch.setattr(ssl, "create_default_context", lambda cadata=None: made)
    ScoringClient("https://service.test/score").close()
    assert made.minimum_version is ssl.TLSVersion.TLSv1_2


# Proves B18, B41.
@pytest.mark.usefixtures("trusted")
def test_other_host_name(serve: Serve, authority: trustme.CA) -> None:
    error = refused(serve(tls=context(authority.issue_cert("other.test"))))
    assert "certificate verify failed: IP address mismatch" in str(error)


# Proves B18, B41.
@pytest.mark.usefixtures("trusted")
def test_expired(serve: Serve, authority: trustme.CA) -> None:
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    certificate = authority.issue_cert("127.0.0.1", not_after=yesterday)
    assert "certificate has expired" in str(refused(serve(tls=context(certificate))))


# Proves B18, B41.
@pytest.mark.usefixtures("trusted")
def test_other_authority(serve: Serve) -> None:
    error = refused(serve(tls=context(trustme.CA().issue_cert("127.0.0.1"))))
    assert "certificate verify failed: unable to get local issuer certificate" in str(error)


def test_authority_that_nobody_trusts(serve: Serve, authority: trustme.CA) -> None:
    assert "certificate verify failed" in str(refused(serve(tls=context(authority.issue_cert("127.0.0.1")))))


# Proves B31, B32.
@pytest.mark.usefixtures("trusted")
def test_timeout_bounds_a_reply_over_tls(serve: Serve, authority: trustme.CA) -> None:
    tls = context(authority.issue_cert("127.0.0.1"))
    for play in (silence(), drip(b"HTTP/1.1 200 OK\r\nX: ", b"y"), drip(b"HTTP/1.1 200 OK\r\n\r\n", b" ")):
        server = serve(reply([0.5]), play, tls=tls)
        with ScoringClient(server.uri) as client:
            client.score([[1.5]])
            with pytest.raises(TransportError, match="no complete reply within") as caught:
                client.score([[1.5]], timeout=0.15)
        assert caught.value.timed_out
        assert server.hung_up.wait(PATIENCE)


def ends_the_handshake(listener: socket.socket, answer: bytes, linger: bytes) -> None:
    peer, _ = listener.accept()
    with peer:
        peer.recv(65536)
        peer.sendall(answer)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


FIN, RST = struct.pack("ii", 0, 0), struct.pack("ii", 1, 0)


@pytest.mark.parametrize(
    ("answer", "linger", "text"),
    [
        (b"", FIN, "the connection was closed inside TLS"),
        (b"", RST, "the connection was"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\nplain http was expected", FIN, ": TLS failed: "),
        (b"\x15\x03\x03\x00\x02\x02\x28", FIN, "alert"),
    ],
)
# Proves B40, B41.
def test_no_tls_there(answer: bytes, linger: bytes, text: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=ends_the_handshake, args=(listener, answer, linger))
        thread.start()
        uri = f"https://127.0.0.1:{listener.getsockname()[1]}/score"
        with ScoringClient(uri, max_retries=0) as client, pytest.raises(TransportError) as caught:
            client.score([[1.5]])
        thread.join(PATIENCE)
    assert text in str(caught.value)
    assert not caught.value.timed_out
