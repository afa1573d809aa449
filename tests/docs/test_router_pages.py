"""The pages on the router are followed as they stand, and their links lead somewhere."""

from pathlib import Path

import pytest
from page_blocks import Reader
from test_blocks import ROOT, python_blocks
from test_blocks import test_links_lead_somewhere as check_links

PAGES = ("docs/router.md", "docs/coming-from-lmos-router.md")


@pytest.mark.parametrize("page", PAGES)
def test_the_page_is_followed(tmp_path: Path, page: str) -> None:
    reader = Reader(tmp_path)
    reader.follow(ROOT / page)
    assert len(reader.ran) >= 2


def test_its_python_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    code = python_blocks(ROOT / "docs" / "router.md")
    exec(compile(code, "router.md", "exec"), {"__name__": "docs"})


@pytest.mark.parametrize("page", PAGES)
def test_its_links_lead_somewhere(page: str) -> None:
    check_links(page)
