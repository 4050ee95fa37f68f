"""Wrong clients that prove that checks can fail: real ones with one defect each, and some that never were clients."""

from __future__ import annotations

import fnmatch
import shutil
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoring_conformance import schemas
from scoring_conformance.cases.model import Case
from scoring_conformance.clients.manifest import Manifest, read_manifest, reference_clients
from scoring_conformance.paths import repository
from scoring_conformance.problems import UsageProblem, unknown_name


@dataclass(frozen=True, slots=True)
class Mutant:
    """A wrong client and what must become of it."""

    name: str
    defect: str
    manifest: Manifest
    red: tuple[str, ...] | None
    """Patterns of checks (``case#/place``) that must turn red; everything else stays green."""
    green: tuple[str, ...] | None
    """For clients that never were: the cases that they pass; no other."""


def load_mutants(folder: Path | None = None) -> list[Mutant]:
    """All mutants, their trees made below ``build/mutants``.

    Raises:
        UsageProblem: a ``mutant.toml`` is broken, or its patch does not apply exactly once.
    """
    folder = folder or repository() / "conformance" / "mutants"
    return [_read(path) for path in sorted(folder.glob("*/mutant.toml"))]


def disagreements(mutant: Mutant, cases: Sequence[Case], document: Mapping[str, Any]) -> list[str]:
    """Where a mutant's results are not what it declares; empty when they are."""
    verdicts = [v for v in document["verdicts"] if v["client"] == mutant.name]
    if len(verdicts) != len(cases) or not document["complete"]:
        return [f"void: {len(verdicts)} verdicts for {len(cases)} cases"]
    if mutant.green is not None:
        passed = {v["case"] for v in verdicts if v["verdict"] == "pass"}
        return [f"passes {case}, which it must not" for case in sorted(passed - set(mutant.green))] + [
            f"does not pass {case}" for case in sorted(set(mutant.green) - passed)
        ]
    assert mutant.red is not None
    found = [
        f"void: {v['verdict']} in {v['case']}: {v['reason']}"
        for v in verdicts
        if v["verdict"] not in ("pass", "fail") and "declared" not in v
    ]
    red = [finding["check"] for v in verdicts for finding in v["findings"]]
    found += [f"turns red, undeclared: {check}" for check in red if not _matches(check, mutant.red)]
    found += [
        f"declared red, and nothing is: {pattern}"
        for pattern in mutant.red
        if not any(_matches(check, [pattern]) for check in red)
    ]
    return found


def _matches(check: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(check, pattern) for pattern in patterns)


def _read(path: Path) -> Mutant:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, OSError, UnicodeDecodeError) as error:
        raise UsageProblem(f"{path}: not TOML: {error}") from error
    error_found = schemas.first_error("mutant", data)
    if error_found is not None:
        raise UsageProblem(f"{path}: {schemas.explain(error_found)}")
    name = path.parent.name
    if "base" in data:
        manifest = _patched(name, path, data["base"], data["patch"])
    else:
        manifest = read_manifest(path.parent / "client.toml", reference=True)
        if manifest.name != name:
            raise UsageProblem(f"{path.parent}/client.toml: the name must be the folder's, {name!r}")
    expect = data["expect"]
    return Mutant(
        name=name,
        defect=data["defect"],
        manifest=manifest,
        red=tuple(expect["red"]) if "red" in expect else None,
        green=tuple(expect["green"]) if "green" in expect else None,
    )


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
