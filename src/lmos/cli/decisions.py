"""`lmos decisions`."""

import csv
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import click

from lmos.cli.platform import Platform, path_of, url_option

_EXAMPLE = "Example: lmos decisions export --tenant acme --days 7 > decisions.jsonl"
#: Records read at a time.
PAGE = 200


@click.group(epilog=_EXAMPLE)
def command() -> None:
    """Read the decision log of a platform."""


@command.command("export", epilog=_EXAMPLE, short_help="Print records as JSON lines.")
@click.option("--tenant", help="Whose (default: the tenant with most to offer).")
@click.option("--channel", help="Of this channel alone.")
@click.option("--days", type=float, help="Of the last so many days (default: all).")
@click.option(
    "--labelled",
    is_flag=True,
    help="As CSV instruction,agent,conversation instead: messages with the agent that feedback "
    "names, or that answered to praise.",
)
@url_option
def export(
    tenant: str | None, channel: str | None, days: float | None, labelled: bool, url: str | None
) -> None:
    """Print the records of decisions, newest first, one JSON object a line, feedback included."""
    platform = Platform(url)
    records = exported(platform, tenant or platform.channel(None)[0], channel, days)
    if labelled:
        _write_labelled(records)
        return
    for record in records:
        click.echo(json.dumps(record, ensure_ascii=False))


def exported(
    platform: Platform, tenant: str, channel: str | None, days: float | None
) -> Iterator[dict[str, Any]]:
    """The tenant's records, newest first, read page by page."""
    query: dict[str, Any] = {"limit": PAGE}
    if channel:
        query["channel"] = channel
    if days is not None:
        query["since"] = (datetime.now(UTC) - timedelta(days=days)).isoformat()
    path = path_of("apis", "v1", tenant, "decisions")
    while True:
        page = platform.get(f"{path}?{urlencode(query)}")
        yield from page["decisions"]
        if "next" not in page:
            return
        query["after"] = page["next"]


@command.command("shadow", short_help="Compare decisions with those made beside them.")
@click.option("--tenant", help="Whose (default: the tenant with most to offer).")
@click.option("--channel", help="Of this channel alone.")
@click.option("--days", type=float, help="Of the last so many days (default: all).")
@url_option
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def shadow(
    tenant: str | None, channel: str | None, days: float | None, url: str | None, output: str
) -> None:
    """Compare the decisions of the log with those that shadow routers made beside them."""
    from lmos.cli.replay import comparison_lines
    from lmos.model import DecisionRecord
    from lmos.runtime.decisions.comparing import Comparison

    platform = Platform(url)
    found: dict[str, Comparison] = {}
    for data in exported(platform, tenant or platform.channel(None)[0], channel, days):
        record = DecisionRecord.model_validate(data)
        if record.shadow is None:
            continue
        comparison = found.setdefault(record.shadow.name, Comparison())
        if record.shadow.decision:
            comparison.add(record, record.shadow.decision)
        else:
            comparison.failed[record.shadow.error] += 1
    if output == "json":
        told = {name: comparison.data() for name, comparison in found.items()}
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    if not found:
        click.echo("no decision has a shadow; set one with LMOS_SHADOW, such as: llm 0.1")
    for name, comparison in found.items():
        click.echo("\n".join([f"shadow {name}", *comparison_lines(comparison.data())]))


def _write_labelled(records: Iterator[dict[str, Any]]) -> None:
    from lmos.model import DecisionRecord
    from lmos.runtime.decisions.comparing import label_of

    writer = csv.writer(sys.stdout)
    writer.writerow(["instruction", "agent", "conversation"])
    hashed = 0
    for record in map(DecisionRecord.model_validate, records):
        agent = label_of(record)
        if agent and record.text:
            writer.writerow([record.text, agent, record.conversation_id])
        hashed += bool(agent and not record.text)
    if hashed:
        click.echo(
            f"lmos: {hashed} judged turns are left out: their messages were not kept; keep them by "
            "the channel's annotation lmos.eclipse/decision-inputs: kept",
            err=True,
        )
