"""Finding agents: by capability and version range, tenant, channel, and words."""

from lmos.model import Agent, Capability, ChannelRouting, LmosError, Store
from lmos.resolver import Version, VersionRange


class Registry:
    """The agents of a store, to be searched."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def search(
        self,
        *,
        capability: str = "",
        version: str = "",
        tenant: str = "",
        channel: str = "",
        text: str = "",
        ready: bool | None = None,
    ) -> list[Agent]:
        """The agents that meet every condition given, by name. `version` is a range for the
        capability, or for any capability when none is named; `text` is found in names,
        descriptions or examples.
        """
        wanted = VersionRange.parse(version) if version else None
        found, _ = await self._store.list(Agent)
        return [
            agent
            for agent in found
            if (not tenant or tenant in (agent.spec.supported_tenants or (tenant,)))
            and (not channel or channel in agent.spec.supported_channels)
            and (ready is None or agent.status.is_true("Ready") == ready)
            and (not (capability or wanted) or _offers(agent, capability, wanted))
            and (not text or _speaks_of(agent, text.lower()))
        ]

    async def channels_of(self, agent: Agent) -> list[tuple[str, str]]:
        """Tenant and channel of every routing that the agent serves."""
        routings, _ = await self._store.list(ChannelRouting)
        return [
            (routing.tenant, routing.channel)
            for routing in routings
            if routing.metadata.namespace == agent.metadata.namespace
            and any(group.name == agent.name for group in routing.spec.capability_groups)
        ]


def _offers(agent: Agent, name: str, wanted: VersionRange | None) -> bool:
    return any(
        name in ("", capability.name, capability.id) and _within(capability, wanted)
        for capability in agent.spec.provided_capabilities
    )


def _within(capability: Capability, wanted: VersionRange | None) -> bool:
    if wanted is None:
        return True
    try:
        return wanted.contains(Version.parse(capability.version))
    except LmosError:
        return False


def _speaks_of(agent: Agent, text: str) -> bool:
    words = [agent.name, agent.spec.description]
    for capability in agent.spec.provided_capabilities:
        words += [capability.name, capability.description, *capability.examples]
    return any(text in word.lower() for word in words)
