"""The page on tracing runs as it stands."""

import asyncio
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tracing.md"


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lmos.arc import observing

    monkeypatch.chdir(tmp_path)
    blocks = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    names: dict[str, object] = {"__name__": "docs"}
    try:
        exec(compile(blocks, "tracing.md", "exec"), names)
    finally:
        observing.metrics.end()
    assert asyncio.iscoroutinefunction(names["follow"])
    assert isinstance(names["text"], str)


def test_the_page_names_every_event_and_metric() -> None:
    from lmos.arc.observing import events

    text = PAGE.read_text()
    never = {"RouterReadyEvent", "FunctionLoadedEvent"}
    names = {cls.__name__ for cls in events.Event.__subclasses__()}
    assert {name for name in names if f"`{name}`" not in text} == never
