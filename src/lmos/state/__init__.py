"""Versioned keys and values for conversations and memory, behind `lmos.model.State`.

`open_state` chooses the implementation by a word. `History` is what a conversation's turns have in
common, written once over any of them.
"""

from pathlib import Path

from lmos.model import State, errors
from lmos.state.history import History, Past, key_of
from lmos.state.memory import MemoryState
from lmos.state.postgres import PostgresState
from lmos.state.reaching import shown
from lmos.state.redis import RedisState
from lmos.state.sqlite import SqliteState

__all__ = [
    "History",
    "MemoryState",
    "Past",
    "PostgresState",
    "RedisState",
    "SqliteState",
    "key_of",
    "open_state",
]


def open_state(spec: str, directory: Path | None = None, name: str = "state") -> State:
    """The state that the spec names: `memory`, `sqlite` (a file NAME.db in the directory),
    `sqlite:PATH`, `redis://HOST:PORT/DB` (with TLS `rediss://`) or `postgresql://HOST:PORT/DB`.
    Servers are reached when they are first needed; `MissingExtra` when their client is missing.
    """
    kind, _, path = spec.partition(":")
    match kind:
        case "memory" if not path:
            return MemoryState()
        case "sqlite":
            return SqliteState(path or (directory or Path(".lmos/state")) / f"{name}.db")
        case "redis" | "rediss" if path.startswith("//"):
            return RedisState(spec)
        case "postgresql" | "postgres" if path.startswith("//"):
            return PostgresState(spec)
    raise errors.InvalidInput(
        f"{shown(spec)!r} is no state; use memory, sqlite or sqlite:PATH, redis://HOST:PORT/DB "
        "or postgresql://HOST:PORT/DB"
    )
