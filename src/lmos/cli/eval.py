"""`lmos eval`."""

import asyncio
import json
from pathlib import Path
from typing import Any

import click

from lmos.cli.agents import routable_agents
from lmos.cli.routers import agents_option, examples_option, model_option, router_option

_file = click.Path(path_type=Path, exists=True)


_EXAMPLE = "Example: lmos eval router --agents examples/acme --test examples/acme/utterances.csv"


@click.group(epilog=_EXAMPLE)
def command() -> None:
    """Measure on labelled messages."""


@command.command("router", epilog=_EXAMPLE, short_help="Route labelled messages.")
@agents_option
@examples_option
@click.option(
    "--test",
    type=_file,
    required=True,
    help="CSV with the columns instruction,agent and, for follow-ups, conversation.",
)
@router_option
@model_option
@click.option("-o", "--output", type=click.Choice(["table", "json", "html"]), default="table")
def router(
    agents: Path | None, examples: Path | None, test: Path, name: str, model: str, output: str
) -> None:
    """Route every message of a file and compare with the agent it is labelled with.

    The label out_of_scope means that no agent should answer. Without --agents there is one agent
    for each other label of the examples.
    """
    from lmos.cli.eval_page import html
    from lmos.llm import embedder
    from lmos.router import Report, RoutingTable, evaluate, open_router
    from lmos.router.specs import read_labelled

    chosen = open_router(name, embedder(), model)

    async def measure() -> Report:
        table = await RoutingTable.build(routable_agents(agents, examples), embedder())
        return await evaluate(chosen, table, read_labelled(test))

    data = asyncio.run(measure()).data()
    if output == "json":
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
    elif output == "html":
        click.echo(html(data), nl=False)
    else:
        click.echo("\n".join(report_lines(data)))


def report_lines(data: dict[str, Any]) -> list[str]:
    """The figures, each label, and everything that went wrong."""
    width = max(len(label) for label in [*data["labels"], "label"])
    lines = [
        f"accuracy {data['accuracy']:.2%} of {data['rows']}    weighted F1 {data['weightedF1']:.4f}"
        f"    p50 {data['p50']} ms    p99 {data['p99']} ms",
        f"out of scope: AUROC {_told(data['outOfScopeAuroc'])}, recall"
        f" {_told(data['outOfScopeRecall'])} at 90 % precision    ECE {_told(data['ece'])}"
        f"    Brier {_told(data['brier'])}",
        f"asked a language model {data['modelShare']:.2%}    "
        f"{data['decisionsPerSecond']} decisions a second",
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


def _told(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.4f}"
