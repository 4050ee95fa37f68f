"""Manifests, toolchains, builds, the clean environment."""

from __future__ import annotations

import os
import sys

import pytest
from scoring_conformance.clients import build as builds
from scoring_conformance.clients.build import BuildFailed, build, fill
from scoring_conformance.clients.environment import clean_environment
from scoring_conformance.clients.manifest import chosen_clients, read_manifest, reference_clients
from scoring_conformance.clients.toolchain import missing
from scoring_conformance.problems import UsageProblem

GOOD = 'name = "x"\nlanguage = "X"\nrun = ["{build}/adapter"]\n'


def manifest(folder, text):
    (folder / "client.toml").write_text(text, encoding="utf-8")
    return read_manifest(folder / "client.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "not TOML"),
        ('language = "X"\nrun = ["a"]\n', "'name' is a required property"),
        ('name = "x"\nlanguage = "X"\nrun = "a"\n', ":3: run: 'a' is not of type 'array'"),
        (GOOD + "colour = 1\n", "'colour' was unexpected"),
        ('name = "X Y"\n' + GOOD.partition("\n")[2], ":1: name: 'X Y' does not match"),
        (GOOD + '[[toolchain]]\nname = "Go"\n', "toolchain[0]"),
    ],
)
def test_a_broken_manifest_is_one_clear_line(tmp_path, text, said):
    with pytest.raises(UsageProblem) as problem:
        manifest(tmp_path, text)
    assert str(problem.value).startswith(str(tmp_path / "client.toml"))
    assert said in str(problem.value)
    assert "\n" not in str(problem.value)


def test_a_manifest_that_is_not_there(tmp_path):
    with pytest.raises(UsageProblem, match="cannot be read"):
        read_manifest(tmp_path / "client.toml")


def test_the_four_reference_clients_are_there():
    known = reference_clients()
    assert list(known) == ["csharp", "go", "java", "python"]
    for one in known.values():
        assert one.reference
        assert one.client is not None
        assert (one.root / one.client).is_file(), one.client
        assert one.toolchains or one.run[0] == "{python}"  # the suite's own interpreter is there


def test_an_unknown_client_gets_the_nearest_names():
    with pytest.raises(UsageProblem, match="unknown client 'pyton': did you mean python"):
        chosen_clients(["pyton"])


def toolchain(command, minimum="1.0", version=r"version (\d+\.\d+)"):
    return GOOD + (
        f"[[toolchain]]\nname = \"Thing\"\ncommand = {command}\nversion = '{version}'\n"
        f'minimum = "{minimum}"\nget = "https://example.org"\n'
    )


@pytest.mark.parametrize(
    ("command", "minimum", "said"),
    [
        ('["no-such-program"]', "1.0", "Thing 1.0 or later is needed, and `no-such-program` is not on PATH"),
        ('["echo", "version 1.9"]', "1.10", "Thing 1.10 or later is needed, and this is 1.9"),
        ('["echo", "hello"]', "1.0", "does not tell its version"),
        ('["false"]', "1.0", "`false` exits with 1"),
    ],
)
def test_a_missing_or_old_toolchain(tmp_path, command, minimum, said):
    found = missing(manifest(tmp_path, toolchain(command, minimum)))
    assert found is not None
    assert said in found
    assert found.endswith("get it from https://example.org")


def test_a_toolchain_that_is_new_enough(tmp_path):
    assert missing(manifest(tmp_path, toolchain('["echo", "version 1.10"]', "1.9"))) is None


@pytest.fixture
def built(tmp_path, monkeypatch):
    monkeypatch.setattr(builds, "build_folder", lambda m: tmp_path / "build" / m.name)
    return tmp_path / "build" / "x"


def test_a_build_runs_when_a_source_changed_and_only_then(tmp_path, built):
    (tmp_path / "source.txt").write_text("1")
    text = GOOD + 'build = [["/bin/sh", "-c", "cat source.txt >> {build}/log"]]\nsources = ["source.txt"]\n'
    one = manifest(tmp_path, text)
    assert build(one) is True
    assert build(one) is False
    (tmp_path / "source.txt").write_text("2")
    assert build(one) is True
    assert (built / "log").read_text() == "12"


def test_a_build_that_fails_shows_its_last_lines_and_runs_again(tmp_path, built):
    (tmp_path / "source.txt").write_text("1")
    text = GOOD + 'build = [["/bin/sh", "-c", "echo line 7: oops >&2; exit 3"]]\nsources = ["source.txt"]\n'
    one = manifest(tmp_path, text)
    for _ in range(2):
        with pytest.raises(BuildFailed, match="exits with 3:\nline 7: oops"):
            build(one)


def test_sources_that_match_nothing(tmp_path, built):
    one = manifest(tmp_path, GOOD + 'build = [["true"]]\nsources = ["*.nothing"]\n')
    with pytest.raises(UsageProblem, match="sources match no file"):
        build(one)


def test_placeholders(tmp_path, built):
    one = manifest(tmp_path, GOOD)
    assert fill(["{python}", "{root}/a", "-o{build}"], one) == [sys.executable, f"{tmp_path}/a", f"-o{built}"]


def test_the_environment_of_a_client_is_clean(monkeypatch):
    for name in (
        "HTTP_PROXY",
        "https_proxy",
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "NETRC",
        "SCORING_KEY",
        "NODE_OPTIONS",
    ):
        monkeypatch.setenv(name, "x")
    env = clean_environment({"EXTRA": "1"})
    assert env["PATH"] == os.environ["PATH"]
    assert env["NO_PROXY"] == env["no_proxy"] == "127.0.0.1,localhost"
    assert env["EXTRA"] == "1"
    for name in env:
        assert not any(
            word in name.upper() for word in ("HTTP_PROXY", "HTTPS_PROXY", "CERT", "CA_BUNDLE", "NETRC", "KEY")
        )
