"""Agents that a program gives to a supervisor: as they are, as URLs, as resources, as routings.

They become a store of their own with one routing that serves every tenant and channel, so that all
that a platform does with agents is done with these. Routings that are given serve their channels.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence, Set
from contextlib import AsyncExitStack
from typing import Protocol

from lmos.llm import embedder
from lmos.model import (
    STABLE,
    Agent,
    AgentAddress,
    AgentSpec,
    AgentStatus,
    CapabilityGroup,
    ChannelRouting,
    ChannelRoutingSpec,
    Collaboration,
    Description,
    FallbackStep,
    ObjectMeta,
    Responder,
    RoutedCapability,
    Turn,
    TurnEvent,
    errors,
)
from lmos.protocols.answering import answered
from lmos.protocols.connecting import disconnect
from lmos.protocols.describing import describe
from lmos.runtime.asking import Connect
from lmos.runtime.routings import ChannelTable, Routings
from lmos.store import MemoryStore

#: The protocol of agents in this process, and who wrote what is kept of them.
HERE, OWNER = "here", "given"


class AnAgent(Protocol):
    """An agent in this process: it has a name, answers turns, and may tell what it can do."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def responder(self) -> Responder:
        """How it is asked."""
        ...


Given = AnAgent | str | Agent | ChannelRouting


class GivenRoutings(Routings):
    """The routings of agents that were given. `start` makes them known, `stop` lets go of them."""

    def __init__(
        self,
        given: Sequence[Given],
        collaboration: Collaboration = "routed",
        fallback: Sequence[FallbackStep | str] = (),
    ) -> None:
        if not given:
            raise errors.InvalidInput("a supervisor needs at least one agent; give it some")
        self._begin()
        self._given = tuple(given)
        self._how = ChannelRoutingSpec(
            collaboration=collaboration, fallback=tuple(map(_step, fallback))
        )
        self._here: dict[str, Responder] = {}
        self._opened: AsyncExitStack | None = None
        self._starting = asyncio.Lock()

    def find(self, tenant: str, channel: str, subset: str = STABLE) -> ChannelTable:
        """The channel's own table, or that of the agents that serve every channel."""
        try:
            return super().find(tenant, channel, subset)
        except errors.ChannelNotFound:
            if (tenant, channel) == ("", ""):
                raise
            return super().find("", "")

    def connecting(self, connect: Connect) -> Connect:
        """Reaches agents in this process beside those that `connect` reaches."""

        def reach(address: AgentAddress) -> Responder:
            if address.protocol != HERE:
                return connect(address)
            return self._here[address.url]

        return reach

    async def start(self) -> None:
        """Starts agents that can be started, asks those at URLs what they can do, and builds the
        table. Once is enough. `AgentUnavailable` when one does not answer.
        """
        if self._opened is not None:
            return
        async with self._starting:
            if self._opened is None:
                async with AsyncExitStack() as stack:
                    await self._open(stack)
                    self._opened = stack.pop_all()

    async def stop(self) -> None:
        """Stops the agents that were started, and closes what this process has open to those that
        are far away; all may be asked again.
        """
        opened, self._opened = self._opened, None
        if opened is None:
            return
        await opened.aclose()
        if len(self._here) < len(self._given):
            await disconnect()

    # --- inside -----------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._given_store = MemoryStore()
        super().__init__(self._given_store, embedder())

    async def _open(self, stack: AsyncExitStack) -> None:
        self._begin()  # anew: what was built before belongs to the event loop that it was built in
        found = await asyncio.gather(*(self._known(given, stack) for given in self._given))
        agents = [known for known in found if isinstance(known, Agent)]
        names = [agent.name for agent in agents]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise errors.InvalidInput(f"two agents are named {twice[0]}; rename one of them")
        self._check(agents)
        for known in found:
            await self._given_store.apply(known, OWNER)
            await self._given_store.patch_status(known)
        if all(isinstance(known, Agent) for known in found):
            await self._given_store.apply(self._routing(agents), OWNER)
        await Routings.__aenter__(self)
        stack.push_async_exit(super().__aexit__)

    def _check(self, agents: Sequence[Agent]) -> None:
        """`InvalidInput` for a fallback that names nobody of the agents."""
        there = {agent.name for agent in agents}
        there.update(c.name for agent in agents for c in agent.spec.provided_capabilities)
        for step in self._how.fallback:
            if not step.human and str(step) not in there:
                raise errors.InvalidInput(
                    f"the fallback names {str(step)!r}, and none of the agents is or does that; "
                    f"there are {', '.join(agent.name for agent in agents)}"
                )

    async def _known(self, given: Given, stack: AsyncExitStack) -> Agent | ChannelRouting:
        """What was given as a resource."""
        if isinstance(given, Agent | ChannelRouting):
            return given
        if isinstance(given, str):
            described = await describe(given)
            address = AgentAddress(url=described.url or given, protocol=described.protocol)
            return _agent(described, address)
        return await self._in_process(given, stack)

    async def _in_process(self, agent: AnAgent, stack: AsyncExitStack) -> Agent:
        if hasattr(agent, "start"):
            await agent.start()
            if hasattr(agent, "stop"):
                stack.push_async_callback(agent.stop)
        asked = agent.responder

        def respond(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
            return answered(asked, turn, agent=agent.name)

        self._here[agent.name] = respond
        described = agent.describe() if hasattr(agent, "describe") else Description(name=agent.name)
        return _agent(described, AgentAddress(url=agent.name, protocol=HERE))

    def _routing(self, agents: Sequence[Agent]) -> ChannelRouting:
        """The routing by which all of the agents serve every channel. What several can do the first
        one does, and the others where it cannot.
        """
        taken: set[str] = set()
        groups: list[CapabilityGroup] = []
        for agent in agents:
            groups.append(_group(agent, taken))
            taken.update(c.name for c in agent.spec.provided_capabilities)
        return ChannelRouting(
            metadata=ObjectMeta(name=OWNER, labels={"subset": STABLE}),
            spec=self._how.but(capability_groups=tuple(groups)),
        )


def _step(step: FallbackStep | str) -> FallbackStep:
    """The step; a word is the name of an agent, or `human`."""
    if isinstance(step, FallbackStep):
        return step
    return FallbackStep.model_validate("human" if step == "human" else {"agent": step})


def _group(agent: Agent, taken: Set[str]) -> CapabilityGroup:
    return CapabilityGroup(
        name=agent.name,
        description=agent.spec.description,
        capabilities=tuple(
            RoutedCapability(id=c.id, name=c.name, provided_version=c.version)
            for c in agent.spec.provided_capabilities
            if c.name not in taken
        ),
    )


def _agent(described: Description, address: AgentAddress) -> Agent:
    return Agent(
        metadata=ObjectMeta(name=described.name),
        spec=AgentSpec(
            description=described.description,
            version=described.version,
            provided_capabilities=described.capabilities,
        ),
        status=AgentStatus(address=address),
    )
