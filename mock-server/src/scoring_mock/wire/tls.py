"""TLS over memory buffers, so that a fatal alert reaches the client before the connection ends.

asyncio's own TLS drops alerts that a failed handshake leaves behind (cpython issue 98078): the client would see the
end of the connection where a real server names the reason.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import Any, Final

from scoring_mock.http_types import ConnectionFault
from scoring_mock.wire.connection import READ_SIZE, Connection

_PLAIN_HTTP: Final = (
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 45\r\n\r\n"
    b"This port speaks https; the request was http."
)
_METHOD_LETTERS: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")


class TlsConnection(Connection):
    """A connection whose bytes are encrypted.

    `record.tls` tells how far it came: `none` (no byte yet), `handshake`, the version once it is done,
    `failed: REASON`, or `plain http`.
    """

    def __init__(self, context: ssl.SSLContext, fault: ConnectionFault | None, *args: Any) -> None:
        """Take the server's side of a handshake, broken by `fault`; the other arguments are those of `Connection`."""
        super().__init__(*args)
        self._fault = fault
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._shaken = False
        self.record.tls = "none"
        self.deadline = self.record.opened + self._limits.head

    def _on_bytes(self, data: bytes) -> None:
        if self.is_lingering or self.record.fault is not None:
            return
        if self.record.tls == "none" and data[0] in _METHOD_LETTERS:
            self.record.tls = "plain http"
            self._send(_PLAIN_HTTP)
            self._ahead = data
            self.end_output(orderly=False)
            return
        self._incoming.write(data)
        if not self._shaken and not self._shake_hands():
            return
        try:
            while not self.is_closed:
                plain = self._tls.read(READ_SIZE)
                if not plain:  # the peer's goodbye: read() does not raise SSLZeroReturnError for it
                    self._flush()
                    self._on_eof()
                    return
                self._received(plain)
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            self._fail(error)

    def _shake_hands(self) -> bool:
        self.record.tls = "handshake"
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            if self._fault is not None and self._outgoing.pending:
                flight = self._outgoing.read()
                self._send(flight[: len(flight) // 2])
                self.break_off(self._fault)
            else:
                self._flush()
            return False
        except ssl.SSLError as error:
            self._fail(error)
            return False
        self._shaken = True
        self.record.tls = self._tls.version()
        self.deadline = self.record.opened + self._limits.idle
        self._flush()
        return True

    def _fail(self, error: ssl.SSLError) -> None:
        """End after a TLS error; what OpenSSL has left to send is the alert."""
        self.record.tls = f"failed: {error.reason or 'unknown'}"
        self._flush()
        self._ahead = b"?"  # a close with unread input would reset the connection and lose the alert
        self.end_output(orderly=False)

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data:
            self._send(data)

    def write(self, data: bytes) -> None:
        """Encrypt and send."""
        if self.is_closed or not data:
            return
        try:
            self._tls.write(data)
        except ssl.SSLError:
            self._lost()
            return
        self._flush()

    def _say_goodbye(self) -> None:
        if self._shaken and not self.is_closed:
            with contextlib.suppress(ssl.SSLError):  # it wants the peer's goodbye too, which nobody waits for
                self._tls.unwrap()
            self._flush()
