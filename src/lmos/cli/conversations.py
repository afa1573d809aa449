"""`lmos conversations`."""

import json
from typing import Any
from urllib.parse import urlencode

import click

from lmos.cli.explain import turn_path
from lmos.cli.platform import Platform, fail, output_option, path_of, url_option

_EXAMPLE = "Example: lmos conversations list --tenant acme --user a-1001"
tenant_option = click.option("--tenant", help="Whose (default: the tenant with most to offer).")


@click.group(epilog=_EXAMPLE)
def command() -> None:
    """List, show, judge and delete conversations of a platform."""


@command.command("list", epilog=_EXAMPLE, short_help="Those with the newest turns first.")
@tenant_option
@click.option("--user", help="Of this user alone.")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@url_option
@output_option
def list_(tenant: str | None, user: str | None, limit: int, url: str | None, output: str) -> None:
    """List conversations, those with the newest turns first."""
    platform = Platform(url)
    query = {"limit": str(limit), **({"user": user} if user else {})}
    page = platform.get(f"{_path(platform, tenant)}?{urlencode(query)}")
    if output == "json":
        click.echo(json.dumps(page, indent=2, ensure_ascii=False))
        return
    rows: list[tuple[str, ...]] = [
        ("CONVERSATION", "CHANNEL", "USERS", "AGENT", "MESSAGES", "LAST TURN")
    ]
    rows += [_row(found) for found in page["conversations"]]
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


@command.command("show")
@click.argument("conversation")
@tenant_option
@url_option
@output_option
def show(conversation: str, tenant: str | None, url: str | None, output: str) -> None:
    """Print what was said in a conversation, and its turns."""
    platform = Platform(url)
    found = platform.get(_path(platform, tenant, conversation))
    if output == "json":
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for message in found["messages"]:
        click.echo(f"  {message['role']}: {message['content']}")
    for turn in found["turns"]:
        agents = " -> ".join(turn["agents"]) or "lmos"
        outcome = turn["outcome"].replace("_", " ")
        click.echo(
            f"  turn {turn['turnId']}  {outcome} {turn['confidence']:.2f}  {agents}  "
            f"{turn['ended'].replace('_', ' ')}"
        )


@command.command("judge")
@click.argument("turn", metavar="CONVERSATION/TURN")
@tenant_option
@click.option("--good", "rating", flag_value=1, type=int, help="The answer was good.")
@click.option("--bad", "rating", flag_value=-1, type=int, help="The answer was bad.")
@click.option("--agent", default="", help="Who should have been asked (out_of_scope: nobody).")
@click.option("--comment", default="", help="In words.")
@url_option
def judge(
    turn: str, tenant: str | None, rating: int | None, agent: str, comment: str, url: str | None
) -> None:
    """Give feedback on a turn."""
    if "/" not in turn:
        fail("which turn? Write CONVERSATION/TURN; see: lmos conversations show", code=2)
    platform = Platform(url)
    path = turn_path(platform, tenant or platform.channel(None)[0], turn)
    platform.post(f"{path}/feedback", {"rating": rating or 0, "agent": agent, "comment": comment})


@command.command("delete")
@click.argument("conversation")
@tenant_option
@url_option
def delete(conversation: str, tenant: str | None, url: str | None) -> None:
    """Delete a conversation with all that the platform keeps of it."""
    platform = Platform(url)
    platform.delete(_path(platform, tenant, conversation))


def _path(platform: Platform, tenant: str | None, *more: str) -> str:
    tenant = tenant or platform.channel(None)[0]
    return path_of("apis", "v1", tenant, "conversations", *more)


def _row(found: dict[str, Any]) -> tuple[str, ...]:
    return (
        found["conversationId"],
        found["channel"],
        ", ".join(found["users"]) or "-",
        (found.get("agent") or "-") + (" (waiting)" if found.get("waiting") else ""),
        str(found["messages"]),
        (found.get("lastTurnAt") or "-")[:19],
    )
