"""Which agents serve which channel, as a snapshot that is swapped when the store changes.

A turn keeps the snapshot it began with. Building one, embeddings included, happens beside the
turns; only texts that are new are embedded.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from lmos.model import (
    Agent,
    AgentAddress,
    Capability,
    CapabilityGroup,
    ChannelRouting,
    Embedder,
    Resource,
    RoutableAgent,
    Store,
    errors,
)
from lmos.router import RoutingTable

log = logging.getLogger("lmos.runtime")

Identity = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Member:
    """An agent of a channel: what the router sees, where it answers, why it is not ready if so."""

    agent: RoutableAgent
    address: AgentAddress | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ChannelTable:
    """A channel's agents by name, and the table that the router decides on."""

    tenant: str
    channel: str
    subset: str
    members: Mapping[str, Member]
    table: RoutingTable
    routing: ChannelRouting

    def provider_of(self, capability: str) -> Member | None:
        """The agent that serves the capability, by its name or id."""
        for member in self.members.values():
            for offered in member.agent.capabilities:
                if capability in (offered.name, offered.id):
                    return member
        return None


class Routings:
    """The newest snapshot of a store's ChannelRoutings, kept up to date while it is entered."""

    def __init__(self, store: Store, embedder: Embedder) -> None:
        self.version = ""
        self._store = store
        self._embedder = embedder
        self._tables: dict[Identity, ChannelTable] = {}
        self._dirty = asyncio.Event()
        self._building = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self.refresh()
        self._tasks = [
            asyncio.create_task(self._watch(ChannelRouting)),
            asyncio.create_task(self._watch(Agent)),
            asyncio.create_task(self._follow()),
        ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def find(self, tenant: str, channel: str, subset: str = "stable") -> ChannelTable:
        """The channel's table. `ChannelNotFound` names the tenant's own channels, nobody else's."""
        found = self._tables.get((tenant, channel, subset))
        if found is None:
            mine = sorted(c for t, c, s in self._tables if (t, s) == (tenant, subset))
            there = f"it has {', '.join(mine)}" if mine else "it has none that is resolved"
            raise errors.ChannelNotFound(
                f"tenant {tenant!r} has no channel {channel!r} in subset {subset!r}; {there}"
            )
        return found

    def all(self, subset: str = "stable") -> list[ChannelTable]:
        """Every channel's table of a subset, by tenant and channel."""
        return [self._tables[key] for key in sorted(self._tables) if key[2] == subset]

    @property
    def pending(self) -> bool:
        """Whether the store is known to have changed since the snapshot in force."""
        return self._building or self._dirty.is_set()

    async def refresh(self) -> None:
        """Builds a snapshot of the store as it is now and swaps it in."""
        routings, _ = await self._store.list(ChannelRouting)
        agents, version = await self._store.list(Agent)
        by_name = {(a.metadata.namespace, a.name): a for a in agents}
        tables: dict[Identity, ChannelTable] = {}
        for routing in routings:
            key = (routing.tenant, routing.channel, routing.subset)
            if key not in tables and routing.spec.capability_groups:
                tables[key] = await self._table(routing, by_name, self._tables.get(key))
        self._tables = tables
        self.version = version

    # --- inside -----------------------------------------------------------------------------------

    async def _table(
        self,
        routing: ChannelRouting,
        agents: Mapping[tuple[str, str], Agent],
        before: ChannelTable | None,
    ) -> ChannelTable:
        namespace = routing.metadata.namespace
        members = [
            _member(group, agents.get((namespace, group.name)))
            for group in routing.spec.capability_groups
        ]
        seen = [member.agent for member in members]
        if before and seen == [member.agent for member in before.members.values()]:
            table = before.table
        else:
            table = await RoutingTable.build(seen, self._embedder, before.table if before else None)
        return ChannelTable(
            tenant=routing.tenant,
            channel=routing.channel,
            subset=routing.subset,
            members={member.agent.name: member for member in members},
            table=table,
            routing=routing,
        )

    async def _watch(self, kind: type[Resource]) -> None:
        """Says that something changed; what, is read from the store."""
        while True:
            _, version = await self._store.list(kind)
            self._dirty.set()
            with contextlib.suppress(errors.Gone):
                async with aclosing(self._store.watch(kind, version)) as changes:  # type: ignore[type-var]
                    async for _ in changes:
                        self._dirty.set()

    async def _follow(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            self._building = True
            try:
                await self.refresh()
            except Exception:
                log.exception("the routing tables could not be built; the last ones stay in force")
                await asyncio.sleep(1)
                self._dirty.set()
            finally:
                self._building = False


def _member(group: CapabilityGroup, agent: Agent | None) -> Member:
    """A group of a routing, with the words and the address that its Agent adds."""
    offered = {c.name: c for c in agent.spec.provided_capabilities} if agent else {}
    capabilities = tuple(
        offered.get(routed.name)
        or Capability(
            id=routed.id,
            name=routed.name,
            version=routed.provided_version,
            description=routed.description,
        )
        for routed in group.capabilities
    )
    routable = RoutableAgent(
        name=group.name,
        description=group.description,
        version=agent.spec.version if agent else "",
        capabilities=capabilities,
    )
    return Member(routable, _address(group, agent), _problem(agent))


def _address(group: CapabilityGroup, agent: Agent | None) -> AgentAddress | None:
    if agent and agent.status.address and agent.status.address.url:
        return agent.status.address
    urls: Sequence[str] = [c.url for c in group.capabilities if c.url]
    if not urls:
        urls = [f"http://{c.host}" for c in group.capabilities if c.host]
    return AgentAddress(url=urls[0]) if urls else None


def _problem(agent: Agent | None) -> str:
    ready = agent.status.condition("Ready") if agent else None
    return ready.message if ready and ready.status == "False" else ""
