"""The page about the SDKs says what the truth checks do, word for word."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from scoring_mock.control.plane import CLOUD_NAME
from scoring_mock.control.workspace import Workspace

ROOT = Path(__file__).resolve().parents[3]
TRUTH = ROOT / "mock-server" / "truth"
PAGE = (ROOT / "docs" / "point-azure-sdks-at-the-mock.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", ["sdk_v1", "sdk_v2"])
def test_the_code_is_the_code_that_was_run(folder: str) -> None:
    code = (TRUTH / folder / "connect.py").read_text(encoding="utf-8")
    assert f"```python\n{code}```\n" in PAGE


def test_the_variables_are_those_of_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TRUTH))
    settings = runpy.run_path(str(TRUTH / "sdk" / "session.py"))["settings"]
    checked = settings("https://127.0.0.1:8443", Path("$CA_FILE"), Path("$(mktemp -d)"))
    exported = dict(re.findall(r"^export (\w+)='?([^'\n]+)'?$", PAGE, re.MULTILINE))
    del exported["CA_FILE"]
    assert exported == checked
    assert checked["AZUREML_CURRENT_CLOUD"] == CLOUD_NAME


def test_the_workspace_is_the_mocks() -> None:
    known = Workspace()
    for folder in ("sdk_v1", "sdk_v2"):
        code = (TRUTH / folder / "connect.py").read_text(encoding="utf-8")
        assert f'subscription_id="{known.subscription_id}"' in code
        assert f'workspace_name="{known.name}"' in code
        assert f'resource_group{"_name" if folder == "sdk_v2" else ""}="{known.resource_group}"' in code
    assert f"`{known.subscription_id}`" in PAGE


@pytest.mark.parametrize(("folder", "package"), [("sdk_v1", "azureml-core"), ("sdk_v2", "azure-ai-ml")])
def test_the_version_is_the_one_that_is_checked(folder: str, package: str) -> None:
    pinned = re.search(
        rf"^{package}==(\d+\.\d+)\.", (TRUTH / folder / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert pinned is not None
    assert f'pip install "{package}=={pinned[1]}.*"' in PAGE
