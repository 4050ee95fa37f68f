"""Test certificates, made at start: an authority to trust, one that nobody trusts, and what they issue."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final, Literal

import trustme

Certificate = Literal["good", "wrong-host", "expired", "unknown-ca"]

HOST_NAMES: Final = ("127.0.0.1", "localhost", "::1")


class Certificates:
    """The authority and the TLS contexts made with it. Keys live in memory and end with the process."""

    def __init__(self, extra_names: tuple[str, ...] = ()) -> None:
        """Make the authority; certificates are for the loopback names and `extra_names`."""
        self._names = tuple(dict.fromkeys((*HOST_NAMES, *extra_names)))
        self._authority = trustme.CA(organization_name="scoring-mock test authority")
        self._contexts: dict[tuple[Certificate, ssl.TLSVersion, ssl.TLSVersion], ssl.SSLContext] = {}
        self._issued: dict[Certificate, trustme.LeafCert] = {}

    @cached_property
    def authority_pem(self) -> str:
        """The certificate to trust, as PEM."""
        return self._authority.cert_pem.bytes().decode("ascii")

    def context(self, certificate: Certificate, lowest: ssl.TLSVersion, highest: ssl.TLSVersion) -> ssl.SSLContext:
        """Return the server's context for a certificate and a range of TLS versions."""
        key = (certificate, lowest, highest)
        context = self._contexts.get(key)
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = lowest
            context.maximum_version = highest
            context.set_alpn_protocols(["http/1.1"])
            self._leaf(certificate).configure_cert(context)
            self._contexts[key] = context
        return context

    def _leaf(self, certificate: Certificate) -> trustme.LeafCert:
        leaf = self._issued.get(certificate)
        if leaf is None:
            if certificate == "wrong-host":
                leaf = self._authority.issue_cert("wrong-host.invalid")
            elif certificate == "expired":
                now = datetime.now(UTC)
                leaf = self._authority.issue_cert(
                    *self._names, not_before=now - timedelta(days=30), not_after=now - timedelta(days=1)
                )
            elif certificate == "unknown-ca":
                leaf = trustme.CA(organization_name="scoring-mock unknown authority").issue_cert(*self._names)
            else:
                leaf = self._authority.issue_cert(*self._names)
            self._issued[certificate] = leaf
        return leaf
