"""`lmos router`."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmos.cli.agents import routable_agents
from lmos.cli.routers import agents_option, examples_option, fit_file, fit_option

if TYPE_CHECKING:
    from lmos.router.refit import Refit

_EXAMPLE = "Example: lmos router fit --agents examples/acme --labelled decisions.jsonl"
_file = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group(epilog=_EXAMPLE)
def command() -> None:
    """Fit the router to your own messages."""


@command.command("fit", epilog=_EXAMPLE, short_help="Fit thresholds and weights.")
@agents_option
@examples_option
@click.option(
    "--labelled",
    type=_file,
    required=True,
    multiple=True,
    help="CSV or JSON lines with instruction,agent, or what `lmos decisions export` prints.",
)
@click.option(
    "--model",
    metavar="SPEC",
    help="Also fit how far to rely on this language model; it is asked up to 200 messages.",
)
@fit_option
@click.option("--write", is_flag=True, help="Write the file; nothing changes without.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
def fit(
    agents: Path | None,
    examples: Path | None,
    labelled: tuple[Path, ...],
    model: str | None,
    fit: Path | None,
    write: bool,
    output: str,
) -> None:
    """Fit the router's thresholds, its calibration and weights to labelled messages.

    Shows the figures before and after; those after are cross-validated. The file is router.json in
    the project, or what --fit says; where it is there, fitting goes on from it.
    """
    from lmos.local.routing import embedding
    from lmos.router import Fit
    from lmos.router.advisor import Advisor
    from lmos.router.refit import refit
    from lmos.router.specs import read_labelled

    path = fit or fit_file(agents)
    start = Fit.read(path) if path.is_file() else Fit()
    rows = [row for file in labelled for row in read_labelled(file)]
    advisor = Advisor(model) if model else None
    found = asyncio.run(refit(routable_agents(agents, examples), rows, embedding(), start, advisor))
    told = {
        "rows": found.rows,
        "of": len(rows),
        "before": found.before,
        "after": found.after,
        "model": found.model,
        "changed": _changes(start.model_dump(by_alias=True), found.fit.model_dump(by_alias=True)),
        "version": found.fit.version,
    }
    if output == "json":
        click.echo(json.dumps(told, indent=2))
    else:
        click.echo("\n".join(_lines(told, found)))
    if write:
        found.fit.write(path)
    if output == "table":
        click.echo(f"written to {path}" if write else f"nothing is written; --write writes {path}")


def _lines(told: dict[str, Any], found: "Refit") -> list[str]:
    lines = [
        f"fitted to {told['rows']} of {told['of']} messages; figures after are of messages that it "
        "was not fitted to",
        f"{'':<18}{'before':>8}{'after':>8}",
        *(f"{k:<18}{_told(v):>8}{_told(found.after[k]):>8}" for k, v in found.before.items()),
    ]
    if model := found.model:
        lines.append(
            f"{model['model']} was asked {model['asked']}: right by vectors "
            f"{model['rightByVectors']}, by the model {model['rightByModel']}, weighed "
            f"{model['rightWeighed']}"
        )
    changes = [f"  {name:<16}{old:>8} -> {new}" for name, (old, new) in told["changed"].items()]
    return [*lines, *(["changed", *changes] if changes else ["no number changed"])]


def _changes(old: dict[str, Any], new: dict[str, Any], within: str = "") -> dict[str, Any]:
    """The numbers that differ, by their place, before and after."""
    found: dict[str, Any] = {}
    for name, value in old.items():
        if isinstance(value, dict):
            found |= _changes(value, new[name], f"{within}{name}.")
        elif value != new[name]:
            found[within + name] = (value, new[name])
    return found


def _told(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.4f}"


@command.command("settings", short_help="Read the original router's settings.")
@click.argument("file", type=_file)
def settings(file: Path) -> None:
    """Tell what the settings of an LMOS router in Kotlin (application.yaml) are here."""
    from lmos.router.foreign import read_settings

    found = read_settings(file)
    rows = [("--router", found.router), ("--model", found.model), ("embedder", found.embedder)]
    click.echo("\n".join(f"{name:<12}{value}" for name, value in rows if value))
    for name, why in found.left.items():
        click.echo(f"left out    {name}: {why}")
