"""`lmos replay`."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmos.cli.decisions import exported
from lmos.cli.platform import Platform, url_option
from lmos.cli.routers import (
    agents_option,
    examples_option,
    fit_in_force,
    fit_option,
    model_option,
    router_option,
    timeout_option,
)

if TYPE_CHECKING:
    from lmos.model import DecisionRecord
    from lmos.router import RoutingTable

_EXAMPLE = "Example: lmos replay decisions.jsonl --agents examples/acme"


@click.command(epilog=_EXAMPLE)
@click.argument("log", type=click.File(encoding="utf-8"), required=False)
@agents_option
@examples_option
@router_option
@model_option
@timeout_option
@fit_option
@click.option("--tenant", help="Whose log (default: the tenant with most to offer).")
@click.option("--channel", help="Decisions of this channel alone.")
@click.option("--days", type=float, help="Of the last so many days (default: all).")
@click.option("--fail-under", type=float, metavar="SHARE", help="Fail if fewer stay the same.")
@url_option
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def command(
    log: Any,
    agents: Path | None,
    examples: Path | None,
    name: str,
    model: str,
    timeout: float | None,
    fit: Path | None,
    tenant: str | None,
    channel: str | None,
    days: float | None,
    fail_under: float | None,
    url: str | None,
    output: str,
) -> None:
    """Decide again what a log says was decided, with other agents or another router, and show what
    differs.

    LOG is what `lmos decisions export` prints, or the platform's log without it. Without --agents
    and --examples it is decided over the agents that the platform has now.
    """
    from lmos.local.routing import embedding
    from lmos.model import errors
    from lmos.router import open_router
    from lmos.runtime.decisions.comparing import Comparison
    from lmos.runtime.decisions.replay import replayed

    if log is not None:
        lines: Iterable[dict[str, Any]] = (json.loads(line) for line in log if line.strip())
    else:
        platform = Platform(url)
        lines = exported(platform, tenant or platform.channel(None)[0], channel, days)
    wanted = (r for r in _records(lines) if channel in (None, r.channel))
    numbers = fit_in_force(fit, agents)
    chosen = open_router(name, embedding(), model, fit=numbers, timeout=timeout)

    async def replay() -> Comparison:
        table_of = await _tables(agents, examples, url)
        return await replayed(wanted, chosen, table_of)

    data = asyncio.run(replay()).data()
    if not data["total"] and not data["failed"]:
        raise errors.InvalidInput("the log has no decisions; see: lmos decisions export")
    if output == "json":
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(comparison_lines(data)))
    if fail_under is not None and data["sameShare"] < fail_under:
        raise SystemExit(1)


def comparison_lines(data: dict[str, Any]) -> list[str]:
    """How many stay as they were, where the others went, and each of those."""
    lines = [f"{data['same']} of {data['total']} decided the same ({data['sameShare']:.1%})"]
    if data["judged"]:
        lines.append(
            f"of {data['judged']} with feedback {data['rightBefore']} were right, "
            f"{data['right']} would be"
        )
    if data["wordless"]:
        lines.append(f"{data['wordless']} left out: only hashes of their messages were kept")
    lines += [f"{count} failed: {error}" for error, count in data["failed"].items()]
    lines += [f"{count:5}  {before} -> {after}" for before, after, count in data["moved"]]
    lines += [_difference(found) for found in data["differences"]]
    return lines


def _difference(found: dict[str, Any]) -> str:
    said = repr(found["text"]) if found["text"] else "(not kept)"
    right = f", right is {found['right']}" if "right" in found else ""
    return (
        f"  {said}: {found['before']} ({found['confidenceBefore']:.2f}) -> {found['after']} "
        f"({found['confidence']:.2f}){right}  [{found['conversation']}/{found['turn']}]"
    )


def _records(lines: Iterable[dict[str, Any]]) -> "Iterator[DecisionRecord]":
    from pydantic import ValidationError

    from lmos.model import DecisionRecord, errors

    number = 0
    try:
        for number, line in enumerate(lines, 1):  # noqa: B007 - told when a line is wrong
            yield DecisionRecord.model_validate(line)
    except (ValidationError, json.JSONDecodeError) as error:
        told = str(error).splitlines()[0]
        raise errors.InvalidInput(
            f"line {number + isinstance(error, json.JSONDecodeError)} of the log is no decision: "
            f"{told}; give what lmos decisions export prints"
        ) from None


async def _tables(
    agents: Path | None, examples: Path | None, url: str | None
) -> "Callable[[DecisionRecord], Awaitable[RoutingTable]]":
    """The table for each record: that of the agents given, else its channel's of the platform."""
    from lmos.cli.agents import routable_agents
    from lmos.local.routing import embedding
    from lmos.model import Agent, ChannelRouting
    from lmos.router import RoutingTable
    from lmos.runtime import Routings
    from lmos.store import MemoryStore

    if agents or examples:
        given = await RoutingTable.build(routable_agents(agents, examples), embedding())

        async def one(record: "DecisionRecord") -> RoutingTable:
            return given

        return one

    platform, store = Platform(url), MemoryStore()
    for kind in (Agent, ChannelRouting):
        for item in platform.get(f"/apis/lmos.eclipse/v1/{kind.plural}")["items"]:
            await store.apply(kind.model_validate(item), "replay")
    routings = Routings(store, embedding())
    await routings.refresh()

    async def of_channel(record: "DecisionRecord") -> RoutingTable:
        return routings.find(record.tenant, record.channel, record.subset).table

    return of_channel
