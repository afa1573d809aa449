"""Shared values from outside a turn, for a tenant's operators and applications, and for agents that
read and write as themselves.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from lmos.model import Share, SharedValue, Turn, errors
from lmos.model.shared import checked
from lmos.runtime.memory.keeping import Place, SharedMemory
from lmos.runtime.memory.sharing import names_of
from lmos.runtime.routings import Routings

#: The channel on which a tenant's conversation is; `NotFound` when there is none.
Where = Callable[[str, str], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class About:
    """Whose values: those of the conversation, of the user, or, with neither, of the tenant. The
    channel need not be said of a conversation that has been remembered.
    """

    tenant: str
    conversation: str = ""
    user: str = ""
    channel: str = ""


class Access:
    """Reads and writes shared values of one tenant at a time. With `agent` it is as this agent: it
    sees what it may read, and writes under its name; without one it sees all, and writes as the
    application.
    """

    def __init__(self, memory: SharedMemory, routings: Routings, where: Where) -> None:
        self._memory = memory
        self._routings = routings
        self._where = where

    async def list(self, about: About, agent: str = "") -> "Found":
        """The values, oldest first."""
        values = await self._memory.at(await self._place(about))
        if not agent:
            return values
        names = self._names(about.tenant, agent)
        return tuple(v for v in values if v.readable_by(agent, names))

    async def get(self, about: About, name: str, agent: str = "") -> SharedValue:
        """The newest value of the name. `NotFound` tells which there are."""
        values = await self.list(about, agent)
        found = [value for value in values if value.name == name]
        if not found:
            raise errors.NotFound(_nothing(name, values))
        return found[-1]

    async def put(self, about: About, share: Share, agent: str = "") -> SharedValue:
        """Keeps the value in place of what was written under its name by the same writer."""
        if share.value is None:
            raise errors.InvalidInput(f"{share.name!r} has no value; to take it back, delete it")
        if agent:
            self._names(about.tenant, agent)
            if not about.conversation and not about.user:
                raise errors.Forbidden("an agent cannot write for a whole tenant")
        place = await self._place(about)
        value = checked(share.but(scope=place.scope)).by(agent, "")
        kept = await self._memory.change(place, [value])
        return kept[-1]

    async def remove(self, about: About, name: str, agent: str = "") -> None:
        """Deletes the values of the name: an agent its own, the application everybody's."""
        place = await self._place(about)
        if not await self._memory.remove(place, name, agent or None):
            raise errors.NotFound(_nothing(name, await self.list(about, agent)))

    # --- inside -----------------------------------------------------------------------------------

    async def _place(self, about: About) -> Place:
        if about.conversation and about.user:
            raise errors.InvalidInput("say a conversation or a user, not both")
        if about.user:
            return Place.of_user(about.tenant, about.user)
        if not about.conversation:
            return Place.of_tenant(about.tenant)
        channel = about.channel or await self._where(about.tenant, about.conversation)
        turn = Turn(
            tenant=about.tenant,
            channel=channel,
            conversation_id=about.conversation,
            turn_id="-",
            messages=(),
        )
        return Place.of_conversation(turn)

    def _names(self, tenant: str, agent: str) -> frozenset[str]:
        """What the tenant's agent is called among readers, on all of its channels."""
        members = self._routings.members(tenant, agent)
        if not members:
            raise errors.AgentNotFound(f"tenant {tenant!r} has no agent {agent!r} on its channels")
        return frozenset().union(*(names_of(member) for member in members))


Found = tuple[SharedValue, ...]


def _nothing(name: str, values: Found) -> str:
    there = ", ".join(dict.fromkeys(value.name for value in values)) or "nothing"
    return f"there is no {name!r} here; there is {there}"


def shown(value: SharedValue) -> dict[str, Any]:
    """A value as the APIs tell it."""
    return value.wire()
