"""The blocks of the documents run as they stand: Python, and commands over the files they show."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from lmos.cli import lmos

ROOT = Path(__file__).parents[2]


def python_blocks(file: Path) -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", file.read_text(), re.DOTALL))


def test_the_agents_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "docs"}
    exec(compile(python_blocks(ROOT / "docs" / "agents.md"), "agents.md", "exec"), names)
    names["billing"].check()  # type: ignore[attr-defined]


def blocks(file: Path) -> Iterator[tuple[str, str]]:
    """The language and the text of every fence, those with longer marks around others."""
    for found in re.finditer(
        r"^(`{3,})(\w+)\n(.*?)^\1$", file.read_text(), re.DOTALL | re.MULTILINE
    ):
        yield found[2], found[3]


def commands(block: str) -> Iterator[tuple[list[str], str]]:
    """The arguments of each `$ lmos ...` and what it prints."""
    for part in block.split("$ lmos ")[1:]:
        line, _, output = part.partition("\n")
        yield shlex.split(line), output


def test_the_page_on_adl_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "docs"}
    ran = 0
    for language, text in blocks(ROOT / "docs" / "adl.md"):
        if language == "markdown":
            name = text.partition("\n")[0].removeprefix("// ")
            (tmp_path / name).write_text(text)
        elif language == "python":
            exec(compile(text, "adl.md", "exec"), names)
        else:
            for arguments, expected in commands(text):
                assert CliRunner().invoke(lmos, arguments).output == expected, arguments
                ran += 1
    assert ran > 15


def test_the_mcp_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    found = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "mcp.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "weather.py").write_text(found[0])
    names: dict[str, object] = {"__name__": "docs"}
    exec(compile("\n".join(found[1:]), "mcp.md", "exec"), names)
    told = capfd.readouterr().out.splitlines()
    assert told == [
        "['ask_weather', 'forecast']",
        "{'sky': 'clear', 'place': 'Bonn'}",
        "what will the weather be",
    ]


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]


def without_blocks(file: Path) -> str:
    """The page without what stands in blocks."""
    return re.sub(r"^(`{3,}).*?^\1$", "", file.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(file: Path) -> set[str]:
    """What headings of a page are called in links."""
    titles = re.findall(r"^#+ (.+)$", without_blocks(file), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page: str) -> None:
    file = ROOT / page
    prose = re.sub(r"(?<!\[)`[^`\n]*`", "", without_blocks(file))
    for target in re.findall(r"\]\(([^)\s]+)[^)]*\)", prose):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        found = file.parent / name if name else file
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"({page.name})" in index, page.name


def test_the_first_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    page = ROOT / "README.md"
    [(_, use_cases)] = [block for block in blocks(page) if block[0] == "markdown"]
    (tmp_path / "use_cases.md").write_text(use_cases)
    exec(compile(python_blocks(page), "agent.py", "exec"), {"__name__": "docs"})
    assert capsys.readouterr().out == "Your latest bill is 42.50 EUR, due on 1 December 2026.\n"


def test_the_page_for_those_who_come_from_arc_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "coming-from-arc.md"
    exec(compile(python_blocks(page), page.name, "exec"), {"__name__": "docs"})


def test_what_replaces_something_of_arc_is_there() -> None:
    import lmos
    from lmos import arc, testing
    from lmos.arc import filters, serving

    homes = (lmos, arc, filters, serving, testing)
    known = {name for home in homes for name in dir(home)} | {
        "In",
        "Out",
        "T",
        "Literal",
        "State",
        "False",
        "True",
    }
    page = (ROOT / "docs" / "coming-from-arc.md").read_text()
    table = page[page.index("## Concept by concept") : page.index("## Use cases")]
    for row in re.findall(r"^\| .*? \| (.*) \|$", table, re.MULTILINE):
        for code in re.findall(r"`([^`]+)`", row):
            for name in re.findall(r"(?<![\w\"./-])[A-Z]\w*", code):
                assert name in known, f"{name} in {row}"
