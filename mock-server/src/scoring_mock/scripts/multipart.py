"""Files in a multipart/form-data body."""

from __future__ import annotations

from email.message import Message

from scoring_mock.scripts.raw_request import RawRequest


def uploaded_file(request: RawRequest, field: str) -> tuple[str, bytes]:
    """Return name and content of the file in a field of a form. Raises KeyError when there is none."""
    media_type, parameters = _parameters(request.content_type)
    boundary = parameters.get("boundary")
    if media_type != "multipart/form-data" or not boundary:
        raise KeyError(field)
    delimiter = b"\r\n--" + boundary.encode("latin-1")
    # The first delimiter may stand at the very beginning, without its line end.
    for part in (b"\r\n" + request.body).split(delimiter)[1:]:
        if part.startswith(b"--"):
            break
        head, separator, content = part.partition(b"\r\n\r\n")
        if not separator:
            continue
        for line in head.decode("utf-8", "replace").split("\r\n"):
            name, _, value = line.partition(":")
            if name.lower() != "content-disposition":
                continue
            _, disposition = _parameters(value)
            if disposition.get("name") == field and "filename" in disposition:
                return disposition["filename"], content
    raise KeyError(field)


def _parameters(value: str) -> tuple[str, dict[str, str]]:
    """Split a header value like `form-data; name="image"` into its type and its parameters."""
    message = Message()
    message["content-type"] = value.strip()
    (media_type, _), *parameters = message.get_params([("", "")])
    return media_type.lower(), {name.lower(): text for name, text in parameters}
