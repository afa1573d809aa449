"""`lmos eval`."""

import asyncio
import json
from pathlib import Path
from typing import Any

import click

from lmos.cli.agents import routable_agents
from lmos.cli.routers import (
    agents_option,
    examples_option,
    fit_in_force,
    fit_option,
    model_option,
    router_option,
    timeout_option,
)

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
@timeout_option
@fit_option
@click.option(
    "--at-once",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Conversations beside each other, for a model far away.",
)
@click.option("-o", "--output", type=click.Choice(["table", "json", "html"]), default="table")
def router(
    agents: Path | None,
    examples: Path | None,
    test: Path,
    name: str,
    model: str,
    timeout: float | None,
    fit: Path | None,
    at_once: int,
    output: str,
) -> None:
    """Route every message of a file and compare with the agent it is labelled with.

    The label out_of_scope means that no agent should answer; agents with ; between mean that each
    answers a part. Without --agents there is one agent
    for each other label of the examples.
    """
    from lmos.cli.eval_page import html
    from lmos.local.routing import embedding
    from lmos.router import Report, RoutingTable, evaluate, open_router
    from lmos.router.specs import read_labelled

    chosen = open_router(name, embedding(), model, fit=fit_in_force(fit, agents), timeout=timeout)

    async def measure() -> Report:
        table = await RoutingTable.build(routable_agents(agents, examples), embedding())
        return await evaluate(chosen, table, read_labelled(test), at_once=at_once)

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
        f"    macro F1 {data['macroF1']:.4f}    p50 {data['p50']} ms    p99 {data['p99']} ms",
        f"out of scope: AUROC {_told(data['outOfScopeAuroc'])}, recall"
        f" {_told(data['outOfScopeRecall'])} at 90 % precision    ECE {_told(data['ece'])}"
        f"    Brier {_told(data['brier'])}",
        f"asked back {data['clarifyShare']:.2%}, the right agent offered in"
        f" {_told(data['rightOffered'])} of these    in parts {data['multiShare']:.2%}"
        f"    failed {data['failedShare']:.2%}",
        f"asked a language model {data['modelShare']:.2%} for {data['cost']:.4f} USD    "
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
