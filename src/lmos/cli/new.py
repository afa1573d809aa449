"""`lmos new`."""

import re
from pathlib import Path

import click

from lmos.cli.platform import fail

AGENT = '''"""The {name}."""

from pydantic import BaseModel

from lmos import Agent, Context

{variable} = Agent(
    name="{name}",
    version="1.0.0",
    description="{title}: tells what time it is and greets.",
    use_cases="use_cases.md",
    memory="sqlite",
)


class Time(BaseModel):
    """What a clock shows."""

    hour: int
    minute: str


@{variable}.tool
def get_time(ctx: Context) -> Time:
    """The time of day."""
    from datetime import datetime

    now = datetime.now()
    return Time(hour=now.hour, minute=f"{{now.minute:02}}")
'''

USE_CASES = """### UseCase: tell_time
#### Description
The user wants to know what time it is.
#### Solution
Call @get_time().
"It is {{get_time.hour}}:{{get_time.minute}}."
#### Examples
- what time is it
- how late is it
- can you tell me the time
- what does the clock say

### UseCase: introduce_yourself
#### Description
The user asks who or what the assistant is and what it can do.
#### Solution
"I am the __NAME__. Ask me what time it is; then teach me more in use_cases.md."
#### Examples
- who are you
- what can you do
- introduce yourself
- are you a bot
"""

TEST = '''"""What the {name} answers, with the real agent and no language model."""

import asyncio

from agents.{folder}.agent import {variable}

from lmos import Message, Turn
from lmos.model import Answer


async def ask(text: str) -> str:
    turn = Turn(
        channel="web",
        conversation_id="test",
        turn_id="1",
        messages=(Message(role="user", content=text),),
    )
    events = [event async for event in {variable}.respond(turn)]
    return "".join(event.message.content for event in events if isinstance(event, Answer))


def test_it_tells_the_time() -> None:
    assert asyncio.run(ask("tell me the time please")).startswith("It is ")
'''

CHANNEL = """apiVersion: lmos.eclipse/v1
kind: Channel
metadata:
  name: demo-web-stable
  labels: {tenant: demo, channel: web, version: 1.0.0, subset: stable}
spec:
  requiredCapabilities:
    - {name: tell-time, version: ">=1.0.0"}
    - {name: introduce-yourself, version: ">=1.0.0"}
"""


@click.group(epilog="Example: lmos new agent weather")
def command() -> None:
    """Start something new."""


@command.command(
    "agent", epilog="Example: lmos new agent weather", short_help="Start an agent that runs."
)
@click.argument("name")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    default=".",
    help="Where (default: here).",
)
def agent(name: str, directory: Path) -> None:
    """Start an agent that runs: Python, use cases, a test, and a channel where there is none."""
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        fail(f"{name!r} is no name for an agent; use small letters, digits and -", code=2)
    folder = name.removesuffix("-agent").replace("-", "_")
    full = name if name.endswith("-agent") else f"{name}-agent"
    target = directory / "agents" / folder
    if target.exists():
        fail(f"{target} is there already; choose another name", code=2)
    words = {
        "name": full,
        "folder": folder,
        "variable": folder,
        "title": full.replace("-", " ").capitalize(),
    }
    _write(target / "__init__.py", "")
    _write(target / "agent.py", AGENT.format(**words))
    _write(target / "use_cases.md", USE_CASES.replace("__NAME__", full.replace("-", " ")))
    _write(target / f"test_{folder}.py", TEST.format(**words))
    if not any(directory.glob("**/*.yaml")):
        _write(directory / "channels" / "demo-web.yaml", CHANNEL)
    here = "" if directory == Path() else f" {directory}"
    click.echo(f"\nStart it with: lmos up{here or ' .'}\nThen ask it:   lmos ask 'what time is it'")


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    click.echo(f"  {file}")
