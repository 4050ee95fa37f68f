"""Which unit tests prove which rule, read from comments; and what nothing proves."""

from __future__ import annotations

import pytest
from scoring_conformance.cases.loader import load_cases
from scoring_conformance.pages import pages, rules
from scoring_conformance.proofs import LANGUAGES, unit_proofs, unproven

BY_NAME = {language.name: language for language in LANGUAGES}

FILES = {
    "C#": (
        "clients/csharp/tests/SomeTests.cs",
        "    // Proves B24, B25. And why.\n    [Theory]\n    [InlineData(1)]\n"
        "    public async Task Tokens_are_kept(int x)\n",
    ),
    "Go": ("clients/go/scoring/some_test.go", "// Proves B24, B25.\nfunc TestTokens(t *testing.T) {\n"),
    "Java": (
        "clients/java/src/test/java/x/SomeTest.java",
        "  // Proves B24 and B25.\n  @ParameterizedTest\n  @CsvSource({\n" + "    'a',\n" * 20 + "  })\n"
        "  void tokensAreKept(String x) throws Exception {\n",
    ),
    "Python": (
        "clients/python/tests/test_some.py",
        '# Proves B24, B25.\n@pytest.mark.parametrize("x", [1])\ndef test_tokens(x):\n',
    ),
}


def write(root, name, text=None):
    path, good = FILES[name]
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(good if text is None else text, encoding="utf-8")


@pytest.mark.parametrize("name", FILES)
def test_the_name_of_the_test_is_found_in_each_language(tmp_path, name):
    write(tmp_path, name)
    found = unit_proofs(BY_NAME[name], tmp_path)
    expected = {"C#": "Tokens_are_kept", "Go": "TestTokens", "Java": "tokensAreKept", "Python": "test_tokens"}[name]
    assert (found.tests, found.stray) == ({"B24": [expected], "B25": [expected]}, [])


@pytest.mark.parametrize("name", FILES)
def test_a_comment_without_a_test_is_no_proof(tmp_path, name):
    comment = FILES[name][1].splitlines()[0]
    write(tmp_path, name, f"{comment}\n\n{FILES[name][1].splitlines()[-1]}\n")
    found = unit_proofs(BY_NAME[name], tmp_path)
    assert (found.tests, found.stray) == ({}, [f"{FILES[name][0]}:1"])


def test_built_copies_do_not_count(tmp_path):
    path = tmp_path / "clients/csharp/tests/obj/Some.cs"
    path.parent.mkdir(parents=True)
    path.write_text(FILES["C#"][1], encoding="utf-8")
    assert unit_proofs(BY_NAME["C#"], tmp_path).tests == {}


def test_what_nothing_proves_is_said_for_each_language(tmp_path):
    for name in FILES:
        if name != "Go":
            write(tmp_path, name)
    write(tmp_path, "Go", "// Proves B24, B99.\nfunc TestTokens(t *testing.T) {\n// Proves B25.\n\n")
    assert unproven(["B24", "B25"], [], tmp_path) == [
        "clients/go/scoring/some_test.go:3: no test follows `Proves` before an empty line",
        "Go: TestTokens proves B99, which is no rule",
        "B25 is proven by no case and, in Go, by no test",
    ]
    cases = [case for case in load_cases() if "B25" in case.clause]
    assert not any("B25 is" in problem for problem in unproven(["B24", "B25"], cases, tmp_path))


def test_the_table_has_a_row_for_every_rule_and_a_column_for_every_language():
    lines = pages(load_cases())["clients/README.md"].splitlines()
    start = lines.index("| id | rule | basis | cases | C# | Go | Java | Python |")
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[start + 2 :][: len(rules())]] == list(rules())
