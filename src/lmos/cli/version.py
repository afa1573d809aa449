"""`lmos version`."""

import json
import platform

import click

import lmos


@click.command(epilog="Example: lmos version -o json")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def command(output: str) -> None:
    """Print the version of LMOS and of Python."""
    if output == "json":
        click.echo(json.dumps({"lmos": lmos.__version__, "python": platform.python_version()}))
    else:
        click.echo(f"lmos {lmos.__version__} (Python {platform.python_version()})")
