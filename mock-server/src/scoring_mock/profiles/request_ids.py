"""Request ids: what a server makes of those that a client sends (W10)."""

from __future__ import annotations

import os
from collections.abc import Mapping

LIMIT = 100  # characters

_POOL_SIZE = 256
_pool: list[str] = []


def new_uuid() -> str:
    """Return a random uuid (version 4) as text.

    Random bytes are drawn for many at once: a system call for each would be a tenth of the cost of a request.
    """
    if not _pool:
        noise = os.urandom(16 * _POOL_SIZE).hex()
        for at in range(0, len(noise), 32):
            h = noise[at : at + 32]
            variant = "89ab"[int(h[16], 16) & 3]
            _pool.append(f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{variant}{h[17:20]}-{h[20:]}")
    return _pool.pop()


Fields = list[tuple[str, str]]


def modern_ids(headers: Mapping[str, str]) -> tuple[Fields, str | None]:
    """Return the id headers of a reply, and the text of the 431 when an id is too long (W10).

    `x-request-id` is the client's or new; `x-ms-request-id` is the client's, else `x-ms-client-request-id`, else
    `x-request-id`; `x-ms-client-request-id` comes back only when either of the two was sent. An empty
    `x-request-id` leaves no id at all.
    """
    request_id = headers.get("x-request-id")
    legacy_id = headers.get("x-ms-request-id", "")
    client_id = headers.get("x-ms-client-request-id", "")
    if request_id is None:
        request_id = new_uuid()
    elif len(request_id) > LIMIT:
        return [], f"x-request-id must not exceed {LIMIT} characters"
    fields = [("x-request-id", request_id)] if request_id else []
    if legacy_id:
        client_id = client_id or legacy_id
    else:
        legacy_id = client_id or request_id
    if len(legacy_id) > LIMIT or len(client_id) > LIMIT:
        return fields, f"x-ms-request-id and x-ms-client-request-id must not exceed {LIMIT} characters"
    if legacy_id:
        fields.append(("x-ms-request-id", legacy_id))
    if client_id:
        fields.append(("x-ms-client-request-id", client_id))
    return fields, None


def legacy_ids(headers: Mapping[str, str]) -> tuple[Fields, str | None]:
    """Return the id header of a legacy reply: `x-ms-request-id`, the client's or new; no limit."""
    request_id = headers.get("x-ms-request-id")
    return [("x-ms-request-id", new_uuid() if request_id is None else request_id)], None
