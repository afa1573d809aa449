"""The Python blocks of the documents run as they stand."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def python_blocks(file: Path) -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", file.read_text(), re.DOTALL))


def test_the_agents_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "docs"}
    exec(compile(python_blocks(ROOT / "docs" / "agents.md"), "agents.md", "exec"), names)
    names["billing"].check()  # type: ignore[attr-defined]


def test_the_mcp_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "mcp.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "weather.py").write_text(blocks[0])
    names: dict[str, object] = {"__name__": "docs"}
    exec(compile("\n".join(blocks[1:]), "mcp.md", "exec"), names)
    told = capfd.readouterr().out.splitlines()
    assert told == [
        "['ask_weather', 'forecast']",
        "{'sky': 'clear', 'place': 'Bonn'}",
        "what will the weather be",
    ]


@pytest.mark.parametrize("page", ["README.md", "docs/agents.md", "docs/mcp.md", "docs/api.md", "docs/performance.md", "docs/architecture.md", "CONTRIBUTING.md"])  # fmt: skip  # noqa: E501
def test_links_lead_somewhere(page: str) -> None:
    file = ROOT / page
    for target in re.findall(r"\]\(([^)#]+)\)", file.read_text()):
        assert target.startswith("http") or (file.parent / target).exists(), target
