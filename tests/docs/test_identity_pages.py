"""The pages on the runtime and on identity, followed as they stand."""

import shutil
from pathlib import Path

import pytest
from page_blocks import Reader, blocks
from test_blocks import test_links_lead_somewhere as check_links

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.skipif(shutil.which("curl") is None, reason="the pages use curl")
@pytest.mark.parametrize(("name", "least"), [("runtime.md", 5), ("identity.md", 8)])
def test_the_page_can_be_followed(tmp_path: Path, name: str, least: int) -> None:
    reader = Reader(tmp_path)
    reader.follow(DOCS / name)
    found = list(blocks(DOCS / name))
    commands = sum(text.count("$ ") for language, text in found if language == "console")
    assert len(reader.ran) == commands >= least


def test_the_code_of_the_identity_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmos.store.manifests import read_text

    found = list(blocks(DOCS / "identity.md"))
    tenants = [text for language, text in found if language == "yaml" and "kind: Tenant" in text]
    read = read_text(tenants[0], "identity.md")
    assert not read.problems
    assert read.manifests[0].resource.name == "acme"
    (tmp_path / "shop.md").write_text(next(t for lang, t in found if lang == "markdown"))
    (tmp_path / "shop.py").write_text(next(t for lang, t in found if lang == "python"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    code = [text for language, text in found if language == "python"][-1]
    exec(compile(code, "identity.md", "exec"), {"__name__": "docs"})


@pytest.mark.parametrize("name", ["runtime.md", "identity.md"])
def test_links_lead_somewhere(name: str) -> None:
    check_links(f"docs/{name}")
