"""The page on serving: its Python runs as it stands, its commands are commands."""

import asyncio
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from serving_parts import serving_app

from lmos.cli.serve import command
from lmos.protocols import http

PAGE = Path(__file__).parents[2] / "docs" / "serving.md"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.DOTALL)


async def test_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    first, *others = blocks("python")
    names: dict[str, Any] = {"__name__": "docs"}
    exec(compile(first, "serving.md", "exec"), names)
    async with serving_app(names["application"]) as url:
        for block in others:
            code = block.replace("http://127.0.0.1:8000", url)
            await asyncio.to_thread(exec, compile(code, "serving.md", "exec"), names)
    await http.close_session()
    said = capsys.readouterr().out
    assert said.count("Hello, I am the greeter.") == 2
    assert "Paid." in said
    assert "May I pay (amount 12)?" in said


def test_its_commands_are_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISSUER", "http://127.0.0.1:9000")
    lines = [
        line.partition("lmos serve ")[2]
        for block in blocks("console")
        for line in block.splitlines()
        if line.startswith("$")
    ]
    assert len(lines) > 3
    for line in lines:
        context = command.make_context("serve", shlex.split(line))
        assert context.params["targets"]
