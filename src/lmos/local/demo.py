"""`make demo`: the example platform, asked a few questions over its HTTP API.

The questions are in the directory's `demo.json`. The platform goes on running afterwards, unless
`--exit` is given. The exit code tells whether every question was answered.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from lmos.local.platform import Platform
from lmos.local.run import run
from lmos.model import (
    Answer,
    Decided,
    Decision,
    Failed,
    InputRequired,
    Message,
    Started,
    Turn,
)
from lmos.protocols import lmos as lmos_protocol


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--exit", "leave", is_flag=True, help="Stop after the questions.")
@click.option("--port", type=int, help="Port (default: 8080, or a free one if that is taken).")
def main(directory: Path, leave: bool, port: int | None) -> None:
    """Run the platform of DIRECTORY and ask it the questions of its demo.json."""
    questions = json.loads((directory / "demo.json").read_text())
    failed: list[str] = []

    async def ask(platform: Platform) -> None:
        click.echo()
        for number, question in enumerate(questions, 1):
            if not await _ask(platform.url, number, question):
                failed.append(question["text"])
        click.echo(f"\n  {len(questions) - len(failed)} of {len(questions)} questions answered")
        if leave:
            platform.stop()
        else:
            click.echo(f"  the platform goes on at {platform.url}; stop it with Ctrl-C")

    run(directory, port=port, after_start=ask)
    sys.exit(1 if failed else 0)


async def _ask(url: str, number: int, question: dict[str, Any]) -> bool:
    """Asks one question and prints it with who answered, how sure, and what."""
    turn = Turn(
        tenant=question["tenant"],
        channel=question["channel"],
        conversation_id=question["conversation"],
        turn_id=f"demo-{number}",
        messages=(Message(role="user", content=question["text"]),),
    )
    agent, decision, answer, began = "", Decision(outcome="route"), "", time.perf_counter()
    async for event in lmos_protocol.responder(url)(turn):
        match event:
            case Started():
                agent = event.agent
            case Decided():
                decision = event.decision
            case Answer() | InputRequired():
                answer = event.message.content
            case Failed():
                answer = f"FAILED: {event.error.message}"
    took = (time.perf_counter() - began) * 1000
    how = f"{decision.confidence:.2f}" if decision.outcome == "route" else decision.outcome
    click.echo(f"  {turn.tenant}/{turn.channel}  {turn.text}")
    click.echo(f"    {agent} · {how} · {took:.0f} ms")
    click.echo("    " + answer.replace("\n", "\n    "))
    return bool(answer) and not answer.startswith("FAILED")


if __name__ == "__main__":
    main()
