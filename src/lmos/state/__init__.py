"""Versioned keys and values for conversations and memory, behind `lmos.model.State`.

`open_state` chooses the implementation by a word. `History` is what a conversation's turns have in
common, written once over any of them.
"""

from pathlib import Path

from lmos.model import State, errors
from lmos.state.history import History, Past, key_of
from lmos.state.memory import MemoryState
from lmos.state.sqlite import SqliteState

__all__ = ["History", "MemoryState", "Past", "SqliteState", "key_of", "open_state"]


def open_state(spec: str, directory: Path | None = None, name: str = "state") -> State:
    """The state that the spec names: `memory`, `sqlite` (a file NAME.db in the directory) or
    `sqlite:PATH`.
    """
    kind, _, path = spec.partition(":")
    if kind == "memory" and not path:
        return MemoryState()
    if kind == "sqlite":
        return SqliteState(path or (directory or Path(".lmos/state")) / f"{name}.db")
    raise errors.InvalidInput(f"{spec!r} is no state; use memory, sqlite or sqlite:PATH")
