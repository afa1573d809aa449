"""`lmos adl`: what is done with use cases."""

import click

from lmos.cli.adl_test import command as test


@click.group()
def command() -> None:
    """Work with use cases in ADL."""


command.add_command(test)
