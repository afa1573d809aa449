"""What is shared in one turn: who may read what, and what is new."""

import logging
from collections.abc import Iterable

from lmos.model import Share, SharedValue, Turn, errors
from lmos.model.shared import checked
from lmos.runtime.memory.keeping import SharedMemory, Values, added
from lmos.runtime.metrics import Metrics
from lmos.runtime.routings import Member

log = logging.getLogger("lmos.runtime")

#: Values that agents may share in one turn.
MAX_NEW = 50


class Sharing:
    """The shared values of a turn, with those that its agents add. What they add is seen by the
    agents that are asked next, and kept once the turn is answered.
    """

    def __init__(self, memory: SharedMemory, turn: Turn, values: Values, metrics: Metrics) -> None:
        self._memory = memory
        self._turn = turn
        self._values = values
        self._metrics = metrics
        self._new: list[SharedValue] = []

    def readable(self, member: Member) -> Values:
        """What the agent may read, oldest first within each scope, the widest scope first."""
        if not self._values:
            return ()
        names = names_of(member)
        return tuple(v for v in self._values if v.readable_by(member.name, names))

    def take(self, member: Member, share: Share) -> None:
        """Takes in what the agent shares, under its name. What is not allowed, or has no room, is
        left out and counted, never the turn's failure.
        """
        try:
            value = checked(share).by(member.name, self._turn.turn_id)
            self._add(value)
        except errors.InvalidInput as error:
            self._metrics.unshared[member.name] += 1
            log.warning("agent %s cannot share: %s", member.name, error)

    async def keep(self) -> None:
        """Keeps what is new. Where others have filled the room meanwhile, it is left out."""
        if not self._new:
            return
        new, self._new = self._new, []
        try:
            await self._memory.keep(self._turn, new)
        except errors.InvalidInput as error:
            self._metrics.unshared.update(value.agent for value in new)
            log.warning("what was shared in turn %s is not kept: %s", self._turn.turn_id, error)

    def _add(self, value: SharedValue) -> None:
        if value.scope == "tenant":
            raise errors.InvalidInput(
                f"{value.name!r} is for the whole tenant, for which no agent may write; an "
                "operator may, over the API"
            )
        if value.scope == "user" and not self._turn.user.id:
            raise errors.InvalidInput(f"{value.name!r} is for a user, and nobody knows who it is")
        if len(self._new) >= MAX_NEW:
            raise errors.TooLarge(f"{MAX_NEW} values were shared in this turn already")
        mine = tuple(v for v in self._values if v.scope == value.scope)
        rest = tuple(v for v in self._values if v.scope != value.scope)
        self._values = _ordered((*rest, *added(mine, value, f"this {value.scope}")))
        self._new.append(value)


_ORDER = ("tenant", "user", "conversation")


def _ordered(values: Iterable[SharedValue]) -> Values:
    return tuple(sorted(values, key=lambda v: (_ORDER.index(v.scope), v.at)))


def names_of(member: Member) -> frozenset[str]:
    """What the agent is called among readers: its name, and its capabilities' names and ids."""
    offered = member.agent.capabilities
    return frozenset((member.name, *(c.name for c in offered), *(c.id for c in offered if c.id)))
