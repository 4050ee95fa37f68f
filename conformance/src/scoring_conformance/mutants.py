"""Wrong clients that prove that checks can fail: real ones with one defect each, and some that never were clients."""

from __future__ import annotations

import fnmatch
import shutil
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoring_conformance import schemas
from scoring_conformance.cases.model import Case
from scoring_conformance.clients.manifest import Manifest, read_manifest, reference_clients
from scoring_conformance.engine.run import CONTROL_FAILED
from scoring_conformance.paths import repository
from scoring_conformance.problems import UsageProblem, unknown_name


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a ``mutant.toml`` says of a wrong client."""

    name: str
    defect: str
    red: tuple[str, ...] = ()
    """Patterns of checks, ``case#/place``: in every case that a pattern names, such a check turns red."""
    also: tuple[str, ...] = ()
    """Patterns of checks that may turn red as well: what follows from the defect, or depends on chance."""
    green: tuple[str, ...] | None = None
    """For clients that never were: the cases that they pass; no other. They prove nothing of one case."""

    def kills(self, cases: Sequence[Case]) -> set[str]:
        """The ids of the cases that it turns red."""
        return {case.id for pattern in self.red for case in _named(pattern, cases)}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A wrong client that can be run."""

    declared: Declaration
    manifest: Manifest

    @property
    def name(self) -> str:
        """The folder's."""
        return self.declared.name


def mutants_folder() -> Path:
    """Where the wrong clients lie."""
    return repository() / "conformance" / "mutants"


def load_declarations(folder: Path | None = None) -> list[Declaration]:
    """What all mutants declare; nothing is made.

    Raises:
        UsageProblem: a ``mutant.toml`` is broken.
    """
    return [_declaration(path, _read(path)) for path in _files(folder)]


def load_mutants(folder: Path | None = None, names: Collection[str] = ()) -> list[Mutant]:
    """The mutants of these names, or all, their trees made below ``build/mutants``.

    Raises:
        UsageProblem: a name is unknown, a ``mutant.toml`` is broken, or its patch does not apply exactly once.
    """
    paths = {path.parent.name: path for path in _files(folder)}
    for name in names:
        if name not in paths:
            raise UsageProblem(unknown_name("mutant", name, paths))
    return [_mutant(path) for name, path in paths.items() if not names or name in names]


def disagreements(declared: Declaration, cases: Sequence[Case], document: Mapping[str, Any]) -> list[str]:
    """Where a mutant's results are not what it declares; empty when they are."""
    verdicts = [v for v in document["verdicts"] if v["client"] == declared.name]
    if len(verdicts) != len(cases) or not document["complete"]:
        return [f"void: {len(verdicts)} verdicts for {len(cases)} cases"]
    if declared.green is not None:
        passed = {v["case"] for v in verdicts if v["verdict"] == "pass"}
        return [f"passes {case}, which it must not" for case in sorted(passed - set(declared.green))] + [
            f"does not pass {case}" for case in sorted(set(declared.green) - passed)
        ]
    found = [f"void: {v['verdict']} in {v['case']}: {v['reason']}" for v in verdicts if _is_void(v)]
    red = [finding["check"] for v in verdicts for finding in v["findings"]]
    allowed = (*declared.red, *declared.also)
    found += [
        f"turns red, undeclared: {check}"
        for check in red
        if not any(fnmatch.fnmatchcase(check, pattern) for pattern in allowed)
    ]
    for pattern in declared.red:
        reached = {check.partition("#")[0] for check in red if fnmatch.fnmatchcase(check, pattern)}
        named = {case.id for case in _named(pattern, cases)}
        found += [f"declared red, and nothing is: {pattern}"] * (not named)
        found += [f"declared red, and is not: {case} ({pattern})" for case in sorted(named - reached)]
    return found


def _named(pattern: str, cases: Sequence[Case]) -> list[Case]:
    name = pattern.partition("#")[0]
    return [case for case in cases if fnmatch.fnmatchcase(case.id, name)]


def _is_void(verdict: Mapping[str, Any]) -> bool:
    """No judgement, and not because the client lacks a capability or fails at the simplest call of all."""
    return (
        verdict["verdict"] not in ("pass", "fail")
        and "declared" not in verdict
        and not verdict.get("reason", "").startswith(CONTROL_FAILED)
    )


def _files(folder: Path | None) -> list[Path]:
    return sorted((folder or mutants_folder()).glob("*/mutant.toml"))


def _read(path: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, OSError, UnicodeDecodeError) as error:
        raise UsageProblem(f"{path}: not TOML: {error}") from error
    error_found = schemas.first_error("mutant", data)
    if error_found is not None:
        raise UsageProblem(f"{path}: {schemas.explain(error_found)}")
    return data


def _declaration(path: Path, data: Mapping[str, Any]) -> Declaration:
    expect = data["expect"]
    return Declaration(
        name=path.parent.name,
        defect=data["defect"],
        red=tuple(expect.get("red", ())),
        also=tuple(expect.get("also", ())),
        green=tuple(expect["green"]) if "green" in expect else None,
    )


def _mutant(path: Path) -> Mutant:
    data = _read(path)
    declared = _declaration(path, data)
    if "base" in data:
        manifest = _patched(declared.name, path, data["base"], data["patch"])
    else:
        manifest = read_manifest(path.parent / "client.toml", reference=True)
        if manifest.name != declared.name:
            raise UsageProblem(f"{path.parent}/client.toml: the name must be the folder's, {declared.name!r}")
    return Mutant(declared, manifest)


def _patched(name: str, path: Path, base: str, patches: Sequence[Mapping[str, str]]) -> Manifest:
    """The base client's tree below ``build/mutants``, with one defect."""
    known = reference_clients()
    if base not in known:
        raise UsageProblem(f"{path}: {unknown_name('client', base, known)}")
    manifest = known[base]
    target = repository() / "build" / "mutants" / name
    wanted = _tree(manifest)
    for patch in patches:
        if patch["file"] not in wanted:
            raise UsageProblem(f"{path}: {patch['file']} is not among the sources of {base}")
        text = wanted[patch["file"]].decode("utf-8")
        count = text.count(patch["find"])
        if count != 1:
            raise UsageProblem(
                f"{path}: {patch['find']!r} stands {count} times in {patch['file']}; a patch must apply exactly once"
            )
        wanted[patch["file"]] = text.replace(patch["find"], patch["replace"]).encode()
    _mirror(target, wanted)
    return manifest.moved(name, target)


def _tree(manifest: Manifest) -> dict[str, bytes]:
    """What a client is made of: its sources, its published file, its adapter's folder."""
    own = f"{manifest.folder.relative_to(manifest.root).as_posix()}/**/*"
    files = {}
    for pattern in {*manifest.sources, own, *([manifest.client] if manifest.client else ())}:
        for path in manifest.root.glob(pattern):
            relative = path.relative_to(manifest.root)
            if path.is_file() and not {"bin", "obj", "target", "__pycache__"} & set(relative.parts):
                files[relative.as_posix()] = path.read_bytes()
    return files


def _mirror(target: Path, wanted: Mapping[str, bytes]) -> None:
    """Make the folder hold exactly these files; unchanged ones keep their times, so that nothing is built in vain."""
    for path in list(target.rglob("*")) if target.is_dir() else ():
        if path.is_file() and path.relative_to(target).as_posix() not in wanted:
            path.unlink()
    for name, content in wanted.items():
        path = target / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for path in sorted(target.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            shutil.rmtree(path)
