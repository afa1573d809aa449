"""The page on testing: its files are written out as they stand, and run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text()
CONFTEST = """
import pytest
from lmos.testing import Call, ScriptedModel

@pytest.fixture
def real_model():
    return ScriptedModel(Call("get_bill"), "It is 42.50 EUR.").model
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / name).write_text(text)
    [conversations] = re.findall(r"```markdown\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "bill.test.md").write_text(conversations)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    ignored = ("LMOS_", "PYTEST_", "PYTHONDONTWRITEBYTECODE")
    known = {k: v for k, v in os.environ.items() if not k.startswith(ignored)}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env=known,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_tests_of_the_page_pass(project: Path) -> None:
    done = run(project, "pytest", "-q", "-p", "no:asyncio", "-p", "no:cacheprovider", "--adl")
    assert (done.returncode, "8 passed" in done.stdout) == (0, True), done.stdout
    assert (project / "cassettes/test_recorded/test_what_the_model_made_of_it.yaml").exists()


def test_the_conversations_of_the_page_pass(project: Path) -> None:
    done = run(project, "lmos", "adl", "test", ".")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed, 0 in part, 0 failed" in done.stdout
    assert "3 checks were not made" in done.stdout


def test_every_check_is_in_the_page() -> None:
    from lmos.testing.conversations.format import KINDS, SETTINGS

    for name in (*KINDS, *SETTINGS):
        assert f"{name}:" in PAGE, name


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
