"""`lmos serve`."""

import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lmos.arc import Agent


@click.command(epilog="Example: lmos serve agents.billing.agent:billing --port 8000")
@click.argument("target", metavar="MODULE[:AGENT]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to bind.")
@click.option("--port", type=int, default=8000, show_default=True, help="Port; 0 for a free one.")
@click.option("--fd", type=int, help="Serve on this inherited listening socket instead.")
def command(target: str, host: str, port: int, fd: int | None) -> None:
    """Serve one agent over A2A and OpenAI. AGENT may be left out where the module has one."""
    from lmos.model import LmosError

    try:
        load(target).serve(host, port, fd)
    except LmosError as error:
        click.echo(error.message, err=True)
        sys.exit(1)


def load(target: str) -> "Agent":
    """The agent that `module:name` means. Raises `InvalidInput` with `file:line: message` when the
    module cannot be imported.
    """
    from lmos.arc import Agent
    from lmos.model.errors import InvalidInput

    module_name, _, name = target.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except SyntaxError as error:
        raise InvalidInput(f"{error.filename}:{error.lineno}: {error.msg}") from error
    except Exception as error:
        raise InvalidInput(f"{_place(error)}{type(error).__name__}: {error}") from error
    found = {k: v for k, v in vars(module).items() if isinstance(v, Agent)}
    if name:
        if name not in found:
            raise InvalidInput(
                f"{_file(module)}: there is no agent {name!r}; there is {_list(found)}"
            )
        return found[name]
    if len(set(map(id, found.values()))) != 1:
        raise InvalidInput(
            f"{_file(module)}: name one agent as {module_name}:NAME; there is {_list(found)}"
        )
    return next(iter(found.values()))


def _place(error: BaseException) -> str:
    """The last line of the project's own code that the error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    here = str(Path.cwd())
    own = [f for f in frames if f.filename.startswith(here) and "site-packages" not in f.filename]
    return f"{own[-1].filename}:{own[-1].lineno}: " if own else ""


def _file(module: ModuleType) -> str:
    return module.__file__ or module.__name__


def _list(found: dict[str, "Agent"]) -> str:
    return ", ".join(found) or "none"
