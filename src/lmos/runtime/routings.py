"""Which agents serve which channel, as a snapshot that is swapped when the store changes.

A turn keeps the snapshot it began with. Building one, embeddings included, happens beside the
turns; only texts that are new are embedded.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from types import TracebackType
from typing import Self

from lmos.model import (
    Agent,
    AgentAddress,
    Capability,
    CapabilityGroup,
    ChannelRouting,
    Embedder,
    RoutableAgent,
    Store,
    errors,
)
from lmos.resolver import Version, VersionRange
from lmos.router import RoutingTable
from lmos.router.index import Indexes, in_memory
from lmos.store import Following

log = logging.getLogger("lmos.runtime")

#: Tables of a channel that are kept for conversations which began with them.
OLDER = 4
#: Seconds after which a table that could not be built is tried again.
RETRY = 1.0

Identity = tuple[str, str, str]
#: Brings the routing of a tenant's channel in a subset; whether there is one.
Fetch = Callable[[str, str, str], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Member:
    """An agent of a channel: what the router sees, where it answers, why it is not ready if so.

    `spare` are names of capabilities that the channel has from others, and this agent also offers
    in a version that it accepts.
    """

    agent: RoutableAgent
    address: AgentAddress | None
    problem: str = ""
    spare: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The agent's name."""
        return self.agent.name

    def serves(self, capability: str) -> str | None:
        """The name of the capability, given its name or id, if it is routed to this agent."""
        offered = self.agent.capabilities if capability else ()
        return next((c.name for c in offered if capability in (c.name, c.id)), None)


@dataclass(frozen=True)
class ChannelTable:
    """A channel's agents by name, and the table that the router decides on."""

    tenant: str
    channel: str
    subset: str
    members: Mapping[str, Member]
    table: RoutingTable
    routing: ChannelRouting

    @property
    def supervised(self) -> bool:
        """Whether a language model plans over the agents, where there is one."""
        return self.routing.spec.collaboration == "supervised"

    @cached_property
    def version(self) -> str:
        """What tells this routing from another: who its agents are, in which version, for what."""
        offers = {
            group.name: [(c.name, c.provided_version) for c in group.capabilities]
            for group in self.routing.spec.capability_groups
        }
        agents = [(m.name, m.agent.version, offers.get(m.name)) for m in self.members.values()]
        return sha256(repr(sorted(agents, key=repr)).encode()).hexdigest()[:16]

    def provider_of(self, capability: str) -> Member | None:
        """The agent that serves the capability, by its name or id."""
        return next((m for m in self.members.values() if m.serves(capability)), None)

    def instead_of(self, member: Member, capability: str) -> list[Member]:
        """Who else of the channel can do what the agent would do."""
        if not self.shared:
            return []
        name = member.serves(capability)
        return [m for m in self.members.values() if m is not member and name in m.spare]

    @cached_property
    def shared(self) -> frozenset[str]:
        """The capabilities that more than one agent could serve."""
        return frozenset().union(*(member.spare for member in self.members.values()))


class Routings:
    """The newest snapshot of a store's ChannelRoutings, kept up to date while it is entered.

    `fetch` is for stores that hold only what was asked for: it brings a channel's routing into the
    store, and says whether there is one.
    """

    def __init__(
        self,
        store: Store,
        embedder: Embedder,
        indexes: Indexes = in_memory,
        fetch: Fetch | None = None,
    ) -> None:
        self.version = ""
        self._store = store
        self._embedder = embedder
        self._indexes = indexes
        self._fetch = fetch
        self._tables: dict[Identity, ChannelTable] = {}
        self._older: dict[Identity, tuple[ChannelTable, ...]] = {}
        self._following = Following(store, ChannelRouting, Agent)
        self._building = False
        self._refreshing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._settling: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.refresh()
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        tasks = [task for task in (self._task, self._settling) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

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

    async def found(self, tenant: str, channel: str, subset: str = "stable") -> ChannelTable:
        """The channel's table, fetched where it has to be; else as `find`."""
        known = self._tables.get((tenant, channel, subset))
        if known is not None:
            return known
        if self._fetch is not None and await self._fetch(tenant, channel, subset):
            await self.refresh()
        return self.find(tenant, channel, subset)

    def newest(self, tenant: str, channel: str, subset: str) -> ChannelTable | None:
        """The channel's table in force, if there is one."""
        return self._tables.get((tenant, channel, subset))

    def kept(self, tenant: str, channel: str, subset: str, version: str) -> ChannelTable | None:
        """The table of that version, in force or not, as long as its agents live."""
        key = (tenant, channel, subset)
        found = self._tables.get(key)
        if found is not None and found.version == version:
            return found
        return next((old for old in self._older.get(key, ()) if old.version == version), None)

    def check(self, tenant: str, channel: str) -> None:
        """Raises `ChannelNotFound` where it is certain that there is no such channel."""
        if self._fetch is None:
            self.find(tenant, channel)

    def all(self, subset: str = "stable") -> list[ChannelTable]:
        """Every channel's table of a subset, by tenant and channel."""
        return [self._tables[key] for key in sorted(self._tables) if key[2] == subset]

    def channels(self, tenant: str) -> list[str]:
        """The names of the tenant's channels, in whichever subset."""
        return sorted({channel for owner, channel, _ in self._tables if owner == tenant})

    def members(self, tenant: str, agent: str) -> list[Member]:
        """The tenant's agent of that name, as it serves each of its channels."""
        mine = (table for key, table in self._tables.items() if key[0] == tenant)
        return [table.members[agent] for table in mine if agent in table.members]

    @property
    def pending(self) -> bool:
        """Whether the store is known to have changed since the snapshot in force."""
        return self._building or self._following.pending

    async def refresh(self) -> None:
        """Builds a snapshot of the store as it is now and swaps it in."""
        async with self._refreshing:  # an older one must not replace a newer
            routings, _ = await self._store.list(ChannelRouting)
            agents, version = await self._store.list(Agent)
            by_name = {(a.metadata.namespace, a.name): a for a in agents}
            tables: dict[Identity, ChannelTable] = {}
            for routing in routings:
                key = (routing.tenant, routing.channel, routing.subset)
                if key not in tables and routing.spec.capability_groups:
                    tables[key] = await self._table(routing, by_name, self._tables.get(key))
            self._older = _older(self._older, self._tables, tables, by_name)
            self._tables = tables
            self.version = version
        if self._provisional() and (self._settling is None or self._settling.done()):
            self._settling = asyncio.create_task(self._settle())

    # --- inside -----------------------------------------------------------------------------------

    async def _table(
        self,
        routing: ChannelRouting,
        agents: Mapping[tuple[str, str], Agent],
        before: ChannelTable | None,
    ) -> ChannelTable:
        namespace = routing.metadata.namespace
        groups = routing.spec.capability_groups
        wanted = {c.name: (c.required_version, g.name) for g in groups for c in g.capabilities}
        members = [_member(group, agents.get((namespace, group.name)), wanted) for group in groups]
        seen = [member.agent for member in members]
        if before and seen == [member.agent for member in before.members.values()]:
            table = before.table
        else:
            table = await RoutingTable.build(
                seen,
                self._embedder,
                before.table if before else None,
                self._indexes(f"{routing.tenant}/{routing.channel}/{routing.subset}"),
                at_once=before is not None,
            )
        return ChannelTable(
            tenant=routing.tenant,
            channel=routing.channel,
            subset=routing.subset,
            members={member.agent.name: member for member in members},
            table=table,
            routing=routing,
        )

    def _provisional(self) -> Identity | None:
        """The first channel whose table decides although not all is learned yet."""
        return next((key for key, t in self._tables.items() if t.table.provisional), None)

    async def _settle(self) -> None:
        """Learns what is left, one table after the other. What has changed meanwhile is next."""
        while (key := self._provisional()) is not None:
            table = self._tables[key].table
            settled = await table.settled()
            now = self._tables.get(key)
            if now is not None and now.table is table:
                self._tables[key] = replace(now, table=settled)

    async def _follow(self) -> None:
        async with aclosing(self._following.changes()) as changes:
            async for _ in changes:
                self._building = True
                try:
                    await self.refresh()
                except Exception:
                    log.exception("the routing tables could not be built; the last ones stay")
                    await asyncio.sleep(RETRY)
                    self._following.again()
                finally:
                    self._building = False


def _member(
    group: CapabilityGroup, agent: Agent | None, wanted: Mapping[str, tuple[str, str]]
) -> Member:
    """A group of a routing, with the words and the address that its Agent adds. `wanted` has the
    range and the agent of every capability of the channel.
    """
    provided = agent.spec.provided_capabilities if agent else ()
    offered = {(c.name, c.version): c for c in provided}
    newest = {c.name: c for c in provided}  # what was routed may have been replaced since
    capabilities = tuple(
        offered.get((routed.name, routed.provided_version))
        or newest.get(routed.name)
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
    spare = frozenset(
        name
        for name, version in offered
        if name in wanted and wanted[name][1] != group.name and _accepts(wanted[name][0], version)
    )
    return Member(routable, _address(group, agent), _problem(agent), spare)


def _older(
    older: Mapping[Identity, tuple[ChannelTable, ...]],
    before: Mapping[Identity, ChannelTable],
    now: Mapping[Identity, ChannelTable],
    agents: Mapping[tuple[str, str], Agent],
) -> dict[Identity, tuple[ChannelTable, ...]]:
    """The tables that are no longer in force, the newest first, whose agents all live. A channel or
    a subset that is gone has none: who takes one away wants its conversations elsewhere.
    """
    found = {}
    for key, table in now.items():
        in_force = table.version
        tables = {t.version: t for t in (before.get(key), *older.get(key, ())) if t}
        alive = [t for v, t in tables.items() if v != in_force and _lives(t, agents)]
        if alive:
            found[key] = tuple(alive[:OLDER])
    return found


def _lives(table: ChannelTable, agents: Mapping[tuple[str, str], Agent]) -> bool:
    """Whether every agent of the table is there in its version, where it was, and not away. Where
    agents are not described, the routing in force is all that is known of them.
    """
    namespace = table.routing.metadata.namespace
    for member in table.members.values():
        agent = agents.get((namespace, member.name))
        if agent is None or agent.spec.version != member.agent.version or _problem(agent):
            return False
        if agent.status.address != member.address:
            return False
    return True


def _accepts(versions: str, version: str) -> bool:
    try:
        return VersionRange.parse(versions).contains(Version.parse(version))
    except errors.InvalidInput:
        return False


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
