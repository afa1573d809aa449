"""Which router a command uses: options that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lmos.router import Fit

router_option = click.option(
    "--router",
    "name",
    metavar="NAME",
    default="cascade",
    show_default=True,
    help="The router: cascade, vector, llm or hybrid.",
)
model_option = click.option(
    "--model",
    metavar="SPEC",
    default="auto",
    show_default=True,
    help="The language model that the router may ask, such as openai:gpt-4o-mini; direct: none.",
)

router_model_option = click.option(
    "--router-model",
    metavar="SPEC",
    default="auto",
    show_default=True,
    envvar="LMOS_ROUTER_MODEL",
    help="The language model that the router may ask; direct: none.",
)

timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long the language model may take (default: 5 for cascade, else 10).",
)

_file = click.Path(path_type=Path, exists=True)
agents_option = click.option(
    "--agents", type=_file, help="Agent manifests, routing specs, or a project."
)
examples_option = click.option(
    "--examples", type=_file, help="CSV with the columns instruction,agent."
)
fit_option = click.option(
    "--fit",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Fitted numbers (default: router.json of the project, where there is one).",
)


def fit_file(agents: Path | None) -> Path:
    """Where the fitted numbers of a project lie, or of the present directory."""
    from lmos.local.routing import FIT

    return (agents if agents and agents.is_dir() else Path()) / FIT


def fit_in_force(fit: Path | None, agents: Path | None) -> "Fit | None":
    """The fitted numbers that a command uses: those of the file, or of the project where it has
    some. `InvalidInput` when a file given is not there.
    """
    from lmos.router import Fit

    if fit is not None:
        return Fit.read(fit)
    path = fit_file(agents)
    return Fit.read(path) if agents and agents.is_dir() and path.is_file() else None
