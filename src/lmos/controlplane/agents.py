"""Agents that announce themselves by an address: asked what they are, and whether they answer.

What an agent says of itself is applied under the owner `lmos-registry`. Fields that a manifest sets
are its own: they win, and only the rest is taken from the agent's document. An agent that stops
answering keeps its last good description and its address, with `Ready` false and the reason.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic.alias_generators import to_camel

from lmos.controlplane.conditions import settled
from lmos.controlplane.events import EventLog
from lmos.model import (
    Agent,
    AgentAddress,
    AgentSpec,
    AgentStatus,
    Condition,
    Describe,
    Description,
    Key,
    LmosError,
    ObjectMeta,
    Resource,
    Store,
    errors,
)

OWNER = "lmos-registry"
#: Seconds between probes of an agent that answers, and of one that does not.
PROBE_EVERY = 5.0
PROBE_FIRST, PROBE_LAST = 0.5, 30.0
#: Seconds after which an agent's document is read again.
DESCRIBE_EVERY = 30.0

#: Whether the agent at a base URL answers; raises `AgentUnavailable` with the reason otherwise.
Probe = Callable[[str], Awaitable[None]]


class AgentReconciler:
    """Keeps what is known of every Agent with `spec.url` true."""

    kinds: Sequence[type[Resource]] = (Agent,)

    def __init__(
        self,
        store: Store,
        describe: Describe,
        probe: Probe,
        events: EventLog,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._describe = describe
        self._probe = probe
        self._events = events
        self._clock = clock
        self._described: dict[Key, tuple[tuple[str, str], float]] = {}
        self._failures: dict[Key, int] = {}

    async def keys_for(self, resource: Resource) -> Iterable[Key]:
        """The agent itself."""
        return [resource.key]

    async def reconcile(self, key: Key) -> float | None:
        """Probes the agent, reads its document when that is due, and writes what differs."""
        agent = await self._store.get(Agent, key.name, key.namespace)
        if agent is None:
            self._described.pop(key, None)
            self._failures.pop(key, None)
            return None
        if not agent.spec.url:
            await self._report(agent, agent.status.but(conditions=(_unknown(agent),)))
            return None
        try:
            description = await self._ask(agent)
        except LmosError as error:
            return await self._failed(agent, error)
        now = await self._store.get(Agent, key.name, key.namespace)
        if now is None or _place(now) != _place(agent):
            return 0.0  # removed or moved while it was asked: the answer is another's
        return await self._answered(now, description)

    async def _ask(self, agent: Agent) -> Description | None:
        """What the agent says of itself when that is due, None when it only had to answer."""
        place, when = self._described.get(agent.key, (("", ""), 0.0))
        if place == _place(agent) and self._clock() - when < DESCRIBE_EVERY:
            await self._probe(agent.spec.url)
            return None
        return await self._describe(agent.spec.url)

    async def _answered(self, agent: Agent, description: Description | None) -> float:
        self._failures.pop(agent.key, None)
        status = agent.status
        if description is not None:
            agent = await self._take(agent, description)
            self._described[agent.key] = (_place(agent), self._clock())
            address = AgentAddress(
                url=description.url or agent.spec.url, protocol=description.protocol
            )
            status = AgentStatus(address=address, source=description.source)
        conditions = (
            _condition(agent, "Described", "True", "Described", f"from {status.source}"),
            _condition(agent, "Ready", "True", "Answering", f"answers at {agent.spec.url}"),
        )
        await self._report(agent, status.but(conditions=conditions))
        return PROBE_EVERY

    async def _failed(self, agent: Agent, error: LmosError) -> float:
        failures = self._failures[agent.key] = self._failures.get(agent.key, 0) + 1
        described = agent.status.condition("Described")
        if isinstance(error, errors.AgentUnavailable):
            reason = "Unreachable"
        else:
            reason = "InvalidDescription"
            described = _condition(agent, "Described", "False", reason, error.message)
        self._described.pop(agent.key, None)  # it may come back as something else
        ready = _condition(agent, "Ready", "False", reason, error.message)
        conditions = (described, ready) if described else (ready,)
        await self._report(agent, agent.status.but(conditions=conditions))
        return min(PROBE_FIRST * 2.0 ** min(failures - 1, 10), PROBE_LAST)

    async def _take(self, agent: Agent, description: Description) -> Agent:
        """Applies the description; fields that another owner holds are left to it."""
        fields: dict[str, Any] = {
            "provided_capabilities": description.capabilities,
            "description": description.description,
            "version": description.version,
            "supported_tenants": description.supported_tenants,
            "supported_channels": description.supported_channels,
        }
        metadata = ObjectMeta(name=agent.name, namespace=agent.metadata.namespace)
        while True:
            wanted = Agent(metadata=metadata, spec=AgentSpec(**fields))
            try:
                return await self._store.apply(wanted, OWNER)
            except errors.Conflict as conflict:
                alias = str(conflict.details["field"]).split(".")[1]
                del fields[next(n for n in fields if to_camel(n) == alias)]

    async def _report(self, agent: Agent, status: AgentStatus) -> None:
        """Writes the status where it differs, and an event where readiness changed."""
        conditions = settled(agent.status.conditions, status.conditions, datetime.now(UTC))
        status = status.but(conditions=conditions, observed_generation=agent.metadata.generation)
        if status == agent.status:
            return
        try:
            await self._store.patch_status(agent.but(status=status))
        except errors.NotFound:
            return
        old, new = agent.status.condition("Ready"), status.condition("Ready")
        if new and new.status != "Unknown" and (old is None or old.status != new.status):
            ready = new.status == "True"
            self._events.record(
                "AgentReady" if ready else "AgentNotReady",
                f"{agent.name}: {new.message}",
                object=str(agent.key),
                warning=not ready,
            )


def _place(agent: Agent) -> tuple[str, str]:
    """Which agent it is, and where; one made anew under the same name is another."""
    return agent.metadata.uid, agent.spec.url


def _unknown(agent: Agent) -> Condition:
    return _condition(agent, "Ready", "Unknown", "NoAddress", "spec.url does not say where it is")


def _condition(agent: Agent, type_: str, status: Any, reason: str, message: str) -> Condition:
    return Condition(
        type=type_,
        status=status,
        reason=reason,
        message=message,
        observed_generation=agent.metadata.generation,
    )
