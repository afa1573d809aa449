"""`lmos chat`."""

import contextlib
import time
import uuid
from typing import Any

import click

from lmos.cli.ask import details, gather, turn_events, who
from lmos.cli.platform import Platform, url_option


@click.command(epilog="Example: lmos chat acme/web")
@click.argument("channel", required=False, metavar="[TENANT/CHANNEL]")
@click.option("--conversation", help="Go on with this conversation (default: a new one).")
@click.option("--user", default="", help="The user's id.")
@url_option
def command(channel: str | None, conversation: str | None, user: str, url: str | None) -> None:
    """Talk to a channel: answers stream in, with the agent that gives them named.

    An empty line or Ctrl-D ends the conversation, /new starts another. Ctrl-C stops an answer.
    """
    platform = Platform(url)
    tenant_channel = platform.channel(channel)
    conversation = conversation or uuid.uuid4().hex[:12]
    _enable_line_editing()
    click.secho(f"{'/'.join(tenant_channel)}, conversation {conversation}", dim=True)
    while text := _read():
        if text == "/new":
            conversation = uuid.uuid4().hex[:12]
            click.secho(f"conversation {conversation}", dim=True)
            continue
        try:
            _answer(turn_events(platform, tenant_channel, text, conversation, user=user))
        except SystemExit:  # an error of one turn, told already, does not end the chat
            continue
        except KeyboardInterrupt:
            click.secho("\n  stopped", dim=True)


def _answer(events: Any) -> None:
    """Prints who answers as soon as that is known, then what comes, then how long it took."""
    turn: dict[str, Any] = {"content": "", "agent": ""}
    began, streamed, named = time.perf_counter(), False, ""
    for event in events:
        gather(turn, event)
        if turn["agent"] and "decision" in turn and turn["agent"] != named:
            named = turn["agent"]
            click.secho(f"  {who(turn)}", dim=True)
        if event["type"] == "text_delta":
            click.echo("" if streamed else "  ", nl=False)
            click.echo(event["text"].replace("\n", "\n  "), nl=False)
            streamed = True
        elif event["type"] == "tool_call":
            click.secho(f"  calling {event['name']}", dim=True)
    turn["milliseconds"] = round((time.perf_counter() - began) * 1000)
    click.echo("" if streamed else "  " + turn["content"])
    click.secho(f"  {details(turn)}", dim=True)


def _read() -> str:
    try:
        return input("> ").strip()
    except (EOFError, KeyboardInterrupt):
        click.echo()
        return ""


def _enable_line_editing() -> None:
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  importing it gives input() a history and editing
