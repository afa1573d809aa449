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


@pytest.mark.parametrize("page", ["README.md", "docs/agents.md", "docs/api.md", "docs/serving.md", "docs/performance.md", "docs/architecture.md", "CONTRIBUTING.md"])  # fmt: skip  # noqa: E501
def test_links_lead_somewhere(page: str) -> None:
    file = ROOT / page
    for target in re.findall(r"\]\(([^)#]+)\)", file.read_text()):
        assert target.startswith("http") or (file.parent / target).exists(), target
