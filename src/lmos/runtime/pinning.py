"""A conversation stays with the routing that it began with, as long as that routing's agents live.

What tells one routing from another is its subset, who its agents are, in which version and for
what; an address, a description or an example that changes is taken over at once, and so is a
routing that has all of its agents and more. When the agents are gone, or nobody here knows the
routing any more, the conversation goes on with the routing there is now, and its user is told so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lmos.runtime.routings import ChannelTable, Member, Routings


@dataclass(frozen=True, slots=True)
class Pinned:
    """The table for a turn; `told` says why it is another than the conversation had, if it is."""

    table: ChannelTable
    told: str = ""

    def notes(self) -> dict[str, Any]:
        """What to note beside the conversation."""
        return {"routing": {"subset": self.table.subset, "version": self.table.version}}


def pinned(routings: Routings, asked: ChannelTable, notes: Mapping[str, Any]) -> Pinned:
    """The conversation's own table, or the one that was asked for where there is none."""
    noted = notes.get("routing")
    if not isinstance(noted, Mapping):
        return Pinned(asked)
    subset, version = str(noted.get("subset")), str(noted.get("version"))
    if (asked.subset, asked.version) == (subset, version):
        return Pinned(asked)
    own = routings.kept(asked.tenant, asked.channel, subset, version)
    now = routings.newest(asked.tenant, asked.channel, subset) or asked
    if own is not None:
        return Pinned(now if _has_all(now, own) else own)
    names = ", ".join(f"{m.name} {m.agent.version}".strip() for m in now.members.values())
    return Pinned(now, f"the agents of this conversation are gone; it goes on with {names}")


def _has_all(now: ChannelTable, own: ChannelTable) -> bool:
    """Whether nothing that the conversation has is missing in the routing in force."""
    return all(_same(now.members.get(member.name), member) for member in own.members.values())


def _same(found: Member | None, member: Member) -> bool:
    if found is None or found.agent.version != member.agent.version:
        return False
    offered = {capability.name for capability in found.agent.capabilities}
    return offered >= {capability.name for capability in member.agent.capabilities}
