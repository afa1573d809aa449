"""The page on memory: its blocks run as they stand, and its links lead somewhere."""

from pathlib import Path

import pytest
from test_blocks import ROOT, python_blocks
from test_blocks import test_links_lead_somewhere as check_links


def test_the_memory_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = python_blocks(ROOT / "docs" / "memory.md")
    exec(compile(code, "memory.md", "exec"), {"__name__": "docs"})


def test_its_links_lead_somewhere() -> None:
    check_links("docs/memory.md")
