"""Channels: resolved whenever they or an agent change; the routing and the status follow."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from lmos.controlplane.conditions import settled
from lmos.controlplane.events import EventLog
from lmos.model import Agent, Channel, ChannelRouting, Condition, Key, Resource, Store, errors
from lmos.resolver import Resolution, resolve

OWNER = "lmos-controlplane"


class ChannelReconciler:
    """Keeps each Channel's routing and status what the resolver says of the store's agents."""

    kinds: Sequence[type[Resource]] = (Channel, Agent, ChannelRouting)

    def __init__(self, store: Store, events: EventLog) -> None:
        self._store = store
        self._events = events

    async def keys_for(self, resource: Resource) -> Iterable[Key]:
        """An agent concerns every channel of its namespace, a removed tenant included."""
        if not isinstance(resource, Agent):
            name, namespace = resource.name, resource.metadata.namespace
            twins = await self._twins(resource) if isinstance(resource, Channel) else []
            return [Key(kind="Channel", namespace=namespace, name=name), *(t.key for t in twins)]
        channels, _ = await self._store.list(Channel)
        return [c.key for c in channels if c.metadata.namespace == resource.metadata.namespace]

    async def reconcile(self, key: Key) -> float | None:
        """Resolves the channel and writes what differs."""
        channel = await self._store.get(Channel, key.name, key.namespace)
        before = await self._store.get(ChannelRouting, key.name, key.namespace)
        if channel is None:
            await self._forget(before)
            return None
        if older := await self._older_twin(channel):
            await self._refuse(channel, older)
            await self._forget(before)
            return None
        agents, _ = await self._store.list(Agent)
        resolution = resolve(agents, channel, before)
        await self._write(resolution, channel, before)
        return None

    # --- writing ----------------------------------------------------------------------------------

    async def _write(
        self, resolution: Resolution, channel: Channel, before: ChannelRouting | None
    ) -> None:
        routing = resolution.routing
        wanted = routing.but(metadata=routing.metadata.but(owner_references=(_reference(channel),)))
        if before is None or not _says_the_same(before, wanted):
            await self._store.apply(wanted, OWNER, force=True)
        await self._report(channel, resolution.channel)

    async def _report(self, before: Channel, after: Channel) -> None:
        """Writes the status where it differs, and an event where the channel changed sides."""
        conditions = settled(before.status.conditions, after.status.conditions, datetime.now(UTC))
        after = after.but(status=after.status.but(conditions=conditions))
        if after.status == before.status:
            return
        await self._store.patch_status(after)
        old, new = before.status.condition("Resolved"), after.status.condition("Resolved")
        if new and (old is None or (old.status, old.message) != (new.status, new.message)):
            resolved = new.status == "True"
            self._events.record(
                "ChannelResolved" if resolved else "ChannelUnresolved",
                f"{after.tenant}/{after.channel}: {new.message}",
                object=str(after.key),
                warning=not resolved,
            )

    async def _refuse(self, channel: Channel, older: Channel) -> None:
        message = f"{older.key} already describes {channel.tenant}/{channel.channel}"
        refused = Condition(
            type="Resolved",
            status="False",
            reason="Conflict",
            message=f"{message} in subset {channel.subset}; remove one of them",
            observed_generation=channel.metadata.generation,
        )
        status = channel.status.but(
            resolve_status="UNRESOLVED",
            unresolved_required_capabilities=(),
            conditions=(refused, refused.but(type="Ready")),
            observed_generation=channel.metadata.generation,
        )
        await self._report(channel, channel.but(status=status))

    async def _forget(self, routing: ChannelRouting | None) -> None:
        if routing is not None:
            try:
                await self._store.delete(routing.key)
            except errors.NotFound:
                return

    # --- who else ---------------------------------------------------------------------------------

    async def _twins(self, channel: Channel) -> list[Channel]:
        channels, _ = await self._store.list(Channel)
        mine = _identity(channel)
        return [c for c in channels if _identity(c) == mine and c.key != channel.key]

    async def _older_twin(self, channel: Channel) -> Channel | None:
        """Another channel of the same tenant, channel and subset that was there first."""
        if not channel.tenant and not channel.channel:
            return None
        older = [t for t in await self._twins(channel) if _age(t) < _age(channel)]
        return min(older, key=_age, default=None)


def _identity(channel: Channel) -> tuple[str, ...]:
    return channel.metadata.namespace, channel.tenant, channel.channel, channel.subset


def _age(channel: Channel) -> tuple[datetime, str]:
    made = channel.metadata.creation_timestamp or datetime.min.replace(tzinfo=UTC)
    return made, channel.name


def _says_the_same(a: ChannelRouting, b: ChannelRouting) -> bool:
    one, two = (
        (r.spec, r.metadata.labels, r.metadata.settings, r.metadata.owner_references)
        for r in (a, b)
    )
    return one == two


def _reference(channel: Channel) -> dict[str, object]:
    return {
        "apiVersion": channel.api_version,
        "kind": channel.kind,
        "name": channel.name,
        "uid": channel.metadata.uid,
        "controller": True,
    }
