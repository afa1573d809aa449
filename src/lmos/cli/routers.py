"""Which router a command uses: options that several commands share."""

from pathlib import Path

import click

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
