"""Which of the chosen clients can run here: toolchain found, adapter built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from scoring_conformance.clients.build import BuildFailed, build
from scoring_conformance.clients.manifest import Manifest
from scoring_conformance.clients.toolchain import missing
from scoring_conformance.engine.run import Client


def make_available(manifests: Sequence[Manifest], tell: Callable[[str], None] = lambda _: None) -> list[Client]:
    """Look for toolchains and build what changed, two at a time.

    Args:
        manifests: the clients.
        tell: told one line for each client that is built or cannot run.
    """

    def one(manifest: Manifest) -> Client:
        lacking = missing(manifest)
        if lacking is not None:
            tell(f"{manifest.name}: not run: {lacking}")
            return Client(manifest, not_run=lacking)
        try:
            if build(manifest):
                tell(f"{manifest.name}: built")
        except BuildFailed as failure:
            tell(f"{manifest.name}: does not build: {failure}")
            return Client(manifest, error=f"the adapter does not build: {failure}")
        return Client(manifest)

    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(one, manifests))
