"""The files that a client's options name: certificates to trust, or what is none."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any


class Files:
    """Written when first asked for, in a folder that goes with the run."""

    def __init__(self, ca_pem: str) -> None:
        """``ca_pem``: the mock's own authority."""
        self._ca_pem = ca_pem
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._texts: dict[str, Path] = {}

    def ca_file(self, wanted: Any) -> str:
        """The path of ``mock``, ``empty``, ``missing`` or ``{"text": ...}``."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="conformance-")
        folder = Path(self._folder.name)
        if wanted == "missing":
            return str(folder / "no-such-file.pem")
        text = self._ca_pem if wanted == "mock" else "" if wanted == "empty" else str(wanted["text"])
        if text not in self._texts:
            path = folder / f"ca-{len(self._texts)}.pem"
            path.write_text(text, encoding="utf-8")
            self._texts[text] = path
        return str(self._texts[text])

    def close(self) -> None:
        """Remove them."""
        if self._folder is not None:
            self._folder.cleanup()
