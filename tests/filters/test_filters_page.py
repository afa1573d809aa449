"""What documents and docstrings say of the filters runs as it stands."""

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from lmos import Agent
from lmos.arc import filters

PAGE = Path(__file__).parents[2] / "docs" / "filters.md"


def test_the_filters_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    exec(compile(blocks, "filters.md", "exec"), {"__name__": "docs"})


def test_the_page_names_every_filter() -> None:
    text = PAGE.read_text()
    assert [name for name in filters.__all__ if f"{name}(" not in text] == ["Disguise"]


@pytest.mark.parametrize("name", [name for name in filters.__all__ if name != "Disguise"])
def test_every_filter_has_an_example_that_runs(name: str, tmp_path: Path) -> None:
    told = textwrap.dedent("    " + (getattr(filters, name).__doc__ or ""))
    example = "".join(re.findall(r"^    .*\n", told, re.MULTILINE))
    if name == "Remove":
        example = f"agent = Agent(name='a', {re.findall('`(output.*?)`', told)[0]})"
    else:
        example = textwrap.dedent(example.replace('"use_cases.md"', '"### UseCase: a\\n"'))
    names: dict[str, Any] = {**vars(filters), "Agent": Agent, "re": re, "names_in": str.split}
    exec(compile(example, name, "exec"), names)
    assert isinstance(names["agent"], Agent)
