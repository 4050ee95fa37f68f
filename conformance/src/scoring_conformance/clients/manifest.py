"""``client.toml``: how a client's adapter is built and started."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from scoring_conformance import schemas
from scoring_conformance.paths import repository
from scoring_conformance.problems import UsageProblem, unknown_name


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A program that must be there, and its lowest version."""

    name: str
    command: tuple[str, ...]
    version: str
    minimum: str
    get: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """One client as the suite sees it."""

    name: str
    language: str
    folder: Path
    root: Path
    """The tree that ``sources`` and ``client`` are relative to: the repository, or a mutant's copy of it."""
    client: str | None
    build: tuple[tuple[str, ...], ...]
    run: tuple[str, ...]
    sources: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    toolchains: tuple[Toolchain, ...] = ()
    lacks: dict[str, str] = field(default_factory=dict)
    """Capabilities that its language cannot have, and why."""
    reference: bool = False
    """Ours: a `should` that fails is a failure, not a warning."""

    def moved(self, name: str, root: Path) -> Manifest:
        """The same client in a copy of the tree."""
        return replace(self, name=name, root=root, folder=root / self.folder.relative_to(self.root))


def read_manifest(path: Path, *, reference: bool = False) -> Manifest:
    """One ``client.toml``.

    Raises:
        UsageProblem: it cannot be read or does not match ``client-manifest.json``; the line says where.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageProblem(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageProblem(f"{path}: not TOML: {error}") from error
    error_found = schemas.first_error("client-manifest", data)
    if error_found is not None:
        place = list(error_found.absolute_path)
        raise UsageProblem(f"{path}:{_line(path, place)}: {schemas.explain(error_found)}")
    root = repository()
    folder = path.resolve().parent
    return Manifest(
        name=data["name"],
        language=data["language"],
        folder=folder,
        root=root if folder.is_relative_to(root) else folder,
        client=data.get("client"),
        build=tuple(tuple(command) for command in data.get("build", ())),
        run=tuple(data["run"]),
        sources=tuple(data.get("sources", ("*",))),
        env=data.get("env", {}),
        lacks=data.get("lacks", {}),
        toolchains=tuple(
            Toolchain(t["name"], tuple(t["command"]), t["version"], t["minimum"], t["get"])
            for t in data.get("toolchain", ())
        ),
        reference=reference,
    )


def reference_clients() -> dict[str, Manifest]:
    """The clients of this repository, by name, in the order of their names."""
    found: dict[str, Manifest] = {}
    for path in sorted((repository() / "conformance" / "adapters").glob("*/client.toml")):
        manifest = read_manifest(path, reference=True)
        if manifest.name in found:
            raise UsageProblem(
                f"{path}: the client name {manifest.name!r} is taken by {found[manifest.name].folder}/client.toml"
            )
        found[manifest.name] = manifest
    return found


def chosen_clients(names: Iterable[str], adapters: Iterable[Path] = ()) -> list[Manifest]:
    """The clients named, or all of them; and those whose manifests are given by path.

    Raises:
        UsageProblem: no such client; the nearest names are offered.
    """
    known = reference_clients()
    chosen: dict[str, Manifest] = {}
    foreign = list(adapters)
    for name in names:
        if name not in known:
            raise unknown_name("client", name, known)
        chosen[name] = known[name]
    if not chosen and not foreign:
        chosen = known
    for path in foreign:
        manifest = read_manifest(path / "client.toml" if path.is_dir() else path)
        if manifest.name in chosen:
            raise UsageProblem(f"{path}: the client name {manifest.name!r} is taken; choose another in client.toml")
        chosen[manifest.name] = manifest
    return list(chosen.values())


def _line(path: Path, place: list[str | int]) -> int:
    """The first line that begins with the offending key; 1 when it is missing altogether."""
    keys = [step for step in place if isinstance(step, str)]
    if keys:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if line.lstrip().lstrip("[").startswith(keys[-1]):
                return number
    return 1
