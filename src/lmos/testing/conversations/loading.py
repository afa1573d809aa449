"""The agent that a test file is for: the one in whose folder it lies."""

import contextlib
import importlib
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmos.local.project import Project
from lmos.model import errors

if TYPE_CHECKING:
    from types import ModuleType

    from lmos.arc import Agent


@contextlib.contextmanager
def agent_for(file: Path, target: str = "") -> "Iterator[Agent[Any, Any]]":
    """The agent of a test file, or the one that `target` names as `module:agent`, seen from the
    working directory. It is imported as `lmos up` imports it, with state of its own, and forgotten
    again.
    """
    root, module = (Path.cwd(), target) if target else _place(file.resolve())
    with _inside(root):
        yield _loaded(module, root)


def _place(file: Path) -> tuple[Path, str]:
    """The project that the file belongs to, and the module of the agent beside or above it."""
    for folder in file.parents:
        if not (folder / "agent.py").is_file():
            continue
        root = folder.parent.parent if folder.parent.name == "agents" else folder
        for source in Project.at(root).agents():
            if source.folder == folder:
                return root, source.module
    raise errors.InvalidInput(
        f"{file} lies beside no agent.py; name the agent with --agent module:agent"
    )


@contextlib.contextmanager
def _inside(root: Path) -> Iterator[None]:
    """In the directory, with state that goes again; what is imported from it is forgotten."""
    path, state = list(sys.path), os.environ.get("LMOS_STATE_DIR")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(root):
        os.environ["LMOS_STATE_DIR"] = folder
        sys.path.insert(0, str(root))
        importlib.invalidate_caches()
        before = set(sys.modules)
        try:
            yield
        finally:
            sys.path[:] = path
            if state is None:
                del os.environ["LMOS_STATE_DIR"]
            else:
                os.environ["LMOS_STATE_DIR"] = state
            new = {name: sys.modules[name] for name in set(sys.modules) - before}
            for name in [name for name, module in new.items() if _within(module, root)]:
                del sys.modules[name]


def _within(module: "ModuleType", root: Path) -> bool:
    file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), None)
    return file is not None and Path(file).is_relative_to(root)


def _loaded(target: str, root: Path) -> "Agent[Any, Any]":
    from lmos.arc import Agent

    name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(name)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if frame.filename.startswith(str(root))]
        place = f"{own[-1].filename}:{own[-1].lineno}: " if own else ""
        raise errors.InvalidInput(f"{place}{type(error).__name__}: {error}") from error
    found = {k: v for k, v in vars(module).items() if isinstance(v, Agent)}
    if attribute:
        found = {k: v for k, v in found.items() if k == attribute}
    if len(set(map(id, found.values()))) != 1:
        there = ", ".join(k for k, v in vars(module).items() if isinstance(v, Agent)) or "none"
        raise errors.InvalidInput(f"name one agent of {name} as {name}:NAME; there is {there}")
    return next(iter(found.values()))
