"""The seams of the architecture: what a component needs from another, as types of a few lines.

One for a turn, one for the platform's resources, one for conversations' state, one for text as
vectors, one for reading what an agent says of itself.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from lmos.model.base import Model, Tuple
from lmos.model.resources import Capability, Key, R, Resource
from lmos.model.turn import Turn, TurnEvent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Answers a turn with events (grammar: `lmos.model.turn`). An ARC agent is one, a remote agent
#: behind a protocol client is one, the runtime is one; a canary, a circuit breaker, a tracer wrap
#: one. Closing the generator (`contextlib.aclosing`) cancels everything below it.
Responder = Callable[[Turn], AsyncGenerator[TurnEvent, None]]


@dataclass(frozen=True, slots=True)
class Change:
    """Something happened to a resource. `resource` is its newest, for a deletion its last state."""

    type: Literal["added", "modified", "deleted"]
    resource: Resource
    version: str


@runtime_checkable
class Store(Protocol):
    """Where resources live. Every implementation passes `tests/contract/test_store.py`."""

    async def list(
        self, kind: type[R], selector: Mapping[str, str] | None = None
    ) -> tuple[list[R], str]:
        """All resources of the kind whose labels include `selector`, by name, and the version of
        the store that they show.
        """
        ...

    async def get(self, kind: type[R], name: str, namespace: str = "default") -> R | None:
        """The resource, or None."""
        ...

    def watch(self, kind: type[Resource], version: str) -> AsyncIterator[Change]:
        """Every change of the kind after `version`, in order, without end. Raises `Gone` when the
        version is older than what is kept: list again.
        """
        ...

    async def apply(self, resource: R, owner: str, *, force: bool = False) -> R:
        """Server-side apply: sets the fields given, removes those that this owner applied before
        and now leaves out, touches no field of another owner. `status` is ignored. A field that
        another owner holds with another value is a `Conflict`, unless `force` takes it over.
        Gives back the merged resource; nothing changes when nothing differs.
        """
        ...

    async def patch_status(self, resource: R) -> R:
        """Replaces the status and nothing else. `NotFound` when the resource is gone."""
        ...

    async def delete(self, key: Key) -> None:
        """Removes the resource, and those whose ownerReferences name it. `NotFound` if absent."""
        ...


class State(Protocol):
    """Versioned keys and values for conversations and memory; `tests/contract/test_state.py`.

    Keys are `/`-separated text, values are JSON data. Versions count from 1 for each key.
    """

    async def get(self, key: str) -> tuple[Any, int] | None:
        """The value and its version, or None when absent or expired."""
        ...

    async def put(
        self, key: str, value: Any, *, version: int | None = None, ttl: float | None = None
    ) -> int:
        """Stores the value and gives its new version. With `version`, only if that is the present
        one (0: absent), else `Conflict`. `ttl` is in seconds.
        """
        ...

    async def delete(self, key: str) -> bool:
        """Removes the key; whether it was there."""
        ...

    def scan(self, prefix: str, after: str = "") -> AsyncIterator[tuple[str, Any]]:
        """Keys and values below the prefix, in the order of the keys; with `after` only the keys
        that come after it.
        """
        ...

    async def close(self) -> None:
        """Releases files and connections."""
        ...


class Embedder(Protocol):
    """Turns texts into vectors."""

    name: str
    d: int

    async def embed(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """float32[n, d], rows of unit length, in the order of the texts."""
        ...


class Skill(Model):
    """Something an agent tells people that it can do, beside the capabilities it is routed by."""

    id: str
    name: str
    description: str = ""
    tags: Tuple[str] = ()
    examples: Tuple[str] = ()
    input_modes: Tuple[str] = ()
    output_modes: Tuple[str] = ()


class Description(Model):
    """What an agent says of itself, whichever document it says it in.

    `url` is where turns are sent and `protocol` how; `source` names the document. A skill with the
    id of a capability is told in its place.
    """

    name: str
    version: str = ""
    description: str = ""
    supported_tenants: Tuple[str] = ()
    supported_channels: Tuple[str] = ()
    capabilities: Tuple[Capability] = ()
    skills: Tuple[Skill] = ()
    url: str = ""
    protocol: str = "a2a"
    source: str = ""


#: Reads the description of the agent at a base URL. Raises `AgentUnavailable` when it does not
#: answer and `AgentFailed` when what it answers cannot be used.
Describe = Callable[[str], Awaitable[Description]]
