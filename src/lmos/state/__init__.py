"""Versioned keys and values for conversations and memory, behind `lmos.model.State`.

`open_state` chooses the implementation by a word. `History` is what a conversation's turns have in
common, and `forget_user` deletes all that is kept of a user; both are written once over any of
them. Who keeps things of users or conversations lays out keys as `keys` says, and notes with
`note_part` whose they are.
"""

from pathlib import Path

from lmos.model import State, errors
from lmos.state.history import History, Past, Summarise, Window
from lmos.state.keys import key_of
from lmos.state.memory import MemoryState
from lmos.state.postgres import PostgresState
from lmos.state.reaching import shown
from lmos.state.reading import at_once, get_all
from lmos.state.redis import RedisState
from lmos.state.sqlite import SqliteState
from lmos.state.updating import update
from lmos.state.users import Forgotten, forget_user, note_part

__all__ = [
    "Forgotten",
    "History",
    "MemoryState",
    "Past",
    "PostgresState",
    "RedisState",
    "SqliteState",
    "Summarise",
    "Window",
    "at_once",
    "forget_user",
    "get_all",
    "key_of",
    "note_part",
    "open_state",
    "update",
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
