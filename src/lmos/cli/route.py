"""`lmos route`."""

import asyncio
import json
from pathlib import Path

import click

from lmos.cli.agents import routable_agents
from lmos.cli.explain import lines
from lmos.cli.routers import (
    agents_option,
    examples_option,
    fit_in_force,
    fit_option,
    model_option,
    router_option,
    timeout_option,
)


@click.command(epilog='Example: lmos route --agents examples/acme "how much do I owe you?"')
@click.argument("text")
@agents_option
@examples_option
@router_option
@model_option
@timeout_option
@fit_option
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
def command(
    text: str,
    agents: Path | None,
    examples: Path | None,
    name: str,
    model: str,
    timeout: float | None,
    fit: Path | None,
    output: str,
) -> None:
    """Decide which agent a message is for, without a platform, and show why."""
    from lmos.local.routing import embedding
    from lmos.model import Decision, Message
    from lmos.router import RoutingRequest, RoutingTable, open_router

    chosen = open_router(name, embedding(), model, fit=fit_in_force(fit, agents), timeout=timeout)

    async def decide() -> Decision:
        table = await RoutingTable.build(routable_agents(agents, examples), embedding())
        request = RoutingRequest((Message(role="user", content=text),))
        return await chosen.decide(request, table)

    decision = asyncio.run(decide()).wire()
    if output == "json":
        click.echo(json.dumps(decision, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(lines(decision)))
