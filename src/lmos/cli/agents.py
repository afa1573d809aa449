"""Agents for the commands that work without a platform: from a file, or from a project's code."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmos.model import Description, RoutableAgent


def routable_agents(path: Path | None, examples: Path | None) -> "list[RoutableAgent]":
    """The agents of a manifest, of the original's routing specs, or of a directory that `lmos up`
    runs; with the examples of a CSV added, or made from its labels alone.
    """
    from lmos.model import errors
    from lmos.router import specs

    if path is None and examples is None:
        raise errors.InvalidInput("give agents with --agents, or examples with --examples")
    found = []
    if path is not None:
        found = _of_project(path) if path.is_dir() else specs.read_agents(path)
    if examples is not None:
        found = specs.with_examples(found, specs.read_labelled(examples))
    return found


def _of_project(directory: Path) -> "list[RoutableAgent]":
    from lmos.model import RoutableAgent, errors

    if not (found := descriptions(directory)):
        raise errors.InvalidInput(f"{directory} has no agents/<name>/agent.py")
    return [
        RoutableAgent(
            name=agent.name,
            description=agent.description,
            version=agent.version,
            capabilities=agent.capabilities,
        )
        for agent in found
    ]


def descriptions(directory: Path) -> "list[Description]":
    """What the agents in a project's code say of themselves, imported here and now; none where
    the directory has no code of agents.
    """
    from lmos.local.project import Project

    sources = Project.at(directory).agents()
    if not sources:
        return []
    from lmos.cli.serve import load

    with _inside(directory):
        return [load(source.module).describe() for source in sources]


@contextlib.contextmanager
def _inside(directory: Path) -> Iterator[None]:
    """In the directory, with a state directory of its own that goes again; the next directory's
    modules may have the same names.
    """
    with tempfile.TemporaryDirectory() as state, contextlib.chdir(directory):
        before = os.environ.get("LMOS_STATE_DIR")
        os.environ["LMOS_STATE_DIR"] = state
        here, path, modules = Path.cwd(), list(sys.path), set(sys.modules)
        try:
            yield
        finally:
            sys.path[:] = path
            for name in set(sys.modules) - modules:
                if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(here):
                    del sys.modules[name]
            if before is None:
                del os.environ["LMOS_STATE_DIR"]
            else:
                os.environ["LMOS_STATE_DIR"] = before
