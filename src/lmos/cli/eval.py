"""`lmos eval`."""

import asyncio
import json
from pathlib import Path
from typing import Any

import click

from lmos.cli.agents import routable_agents

_file = click.Path(path_type=Path, exists=True)


_EXAMPLE = "Example: lmos eval router --agents examples/acme --test examples/acme/utterances.csv"


@click.group(epilog=_EXAMPLE)
def command() -> None:
    """Measure on labelled messages."""


@command.command("router", epilog=_EXAMPLE, short_help="Route labelled messages.")
@click.option("--agents", type=_file, help="Agent manifests, routing specs, or a project.")
@click.option("--examples", type=_file, help="CSV with the columns instruction,agent.")
@click.option(
    "--test",
    type=_file,
    required=True,
    help="CSV with the columns instruction,agent and, for follow-ups, conversation.",
)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
def router(agents: Path | None, examples: Path | None, test: Path, output: str) -> None:
    """Route every message of a file and compare with the agent it is labelled with.

    The label out_of_scope means that no agent should answer.
    """
    from lmos.llm import embedder
    from lmos.router import Report, RoutingTable, VectorRouter, evaluate
    from lmos.router.specs import read_labelled

    async def measure() -> Report:
        table = await RoutingTable.build(routable_agents(agents, examples), embedder())
        return await evaluate(VectorRouter(embedder()), table, read_labelled(test))

    data = asyncio.run(measure()).data()
    if output == "json":
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(report_lines(data)))


def report_lines(data: dict[str, Any]) -> list[str]:
    """The figures, each label, and everything that went wrong."""
    width = max(len(label) for label in [*data["labels"], "label"])
    lines = [
        f"accuracy {data['accuracy']:.2%} of {data['rows']}    weighted F1 {data['weightedF1']:.4f}"
        f"    p50 {data['p50']} ms    p99 {data['p99']} ms",
        "",
        f"{'label':<{width}}  precision  recall     F1  rows",
    ]
    lines += [
        f"{label:<{width}}  {v['precision']:9.3f}  {v['recall']:6.3f}"
        f"  {v['f1']:5.3f}  {v['rows']:4}"
        for label, v in data["labels"].items()
    ]
    if data["confusion"]:
        lines += ["", "confused"]
        lines += [f"  {e} taken for {c}: {n}" for e, c, n in data["confusion"]]
    if data["wrong"]:
        lines += ["", "wrong"]
        lines += [
            f"  {w['text']!r}: {w['chosen']} ({w['confidence']:.2f}), expected {w['expected']}"
            for w in data["wrong"]
        ]
    return lines
