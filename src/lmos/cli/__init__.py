"""The command `lmos`: one module a command, imported only when it is called.

`COMMANDS` maps each command to its module and its line in `lmos --help`; the module offers a
`click.Command` named `command`. That keeps `lmos --help` and the commands that need no model fast.
"""

import importlib
import sys
from typing import Any

import click

COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("lmos.cli.up", "Run the platform of a directory on this machine."),
    "chat": ("lmos.cli.chat", "Talk to a channel in the terminal."),
    "ask": ("lmos.cli.ask", "Ask a channel one question."),
    "explain": ("lmos.cli.explain", "Show why a message, or a turn, goes to which agent."),
    "conversations": ("lmos.cli.conversations", "List, show, judge and delete conversations."),
    "decisions": ("lmos.cli.decisions", "Read the log of decisions."),
    "replay": ("lmos.cli.replay", "Decide a log again and show what differs."),
    "humans": ("lmos.cli.humans", "List conversations that are with people, release one."),
    "get": ("lmos.cli.get", "List agents, channels or routings."),
    "resolve": ("lmos.cli.resolve", "Resolve channels against agents, offline."),
    "route": ("lmos.cli.route", "Route one message over a file of agents, offline."),
    "router": ("lmos.cli.router", "Fit the router to your own messages."),
    "eval": ("lmos.cli.eval", "Measure a router on labelled messages."),
    "adl": ("lmos.cli.adl", "Check, format, compile and test use cases."),
    "serve": ("lmos.cli.serve", "Serve agents over A2A, OpenAI and more."),
    "runtime": ("lmos.cli.runtime", "Serve turns of tenants' channels, without agents."),
    "key": ("lmos.cli.key", "Make an API key for a tenant."),
    "new": ("lmos.cli.new", "Start a new agent."),
    "version": ("lmos.cli.version", "Print the version."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now, or None when there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: lmos up examples/acme",
)
def lmos() -> None:
    """The Language Model Operating System: many agents, many tenants, one platform."""


def main(argv: list[str] | None = None) -> Any:
    """Runs the command line. An `LmosError` is printed as one line, and the exit code is 2."""
    try:
        return lmos.main(args=argv, prog_name="lmos")
    except Exception as error:
        from lmos.model.errors import LmosError  # late: commands without a model start faster

        if not isinstance(error, LmosError):
            raise
        click.echo(f"lmos: {error}", err=True)
        sys.exit(2)
