"""Sockets, TLS, HTTP/1.1 bytes, faults and the journal: all that happens below a request and its response."""
