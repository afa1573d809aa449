"""Resolving a channel: which agent serves each capability it requires, and why none does.

An agent counts for a channel when it lies in the channel's namespace, belongs to its subset,
supports its tenant (an agent that names no tenants supports all) and its channel (an agent that
names no channels supports none). Of the versions offered under the required name, those within the
range are candidates; `HIGHEST` takes the highest, `MOST_SIMILAR` the lowest that satisfies. Ties go
to an agent that is ready, then to the first by name. An offer that cannot be read, or a requirement
whose range cannot be, harms nothing but itself.
"""

import difflib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from lmos.model import (
    Agent,
    Capability,
    CapabilityGroup,
    Channel,
    ChannelRouting,
    ChannelRoutingSpec,
    ChannelStatus,
    Condition,
    LmosError,
    ObjectMeta,
    RequiredCapability,
    RoutedCapability,
    UnresolvedCapability,
)
from lmos.model.resources import CHANNEL, SUBSET, TENANT, VERSION, UnresolvedReason
from lmos.resolver.ranges import VersionRange
from lmos.resolver.versions import Version

_NEAREST = 3
#: How many unresolved capabilities the message of a condition speaks of.
_TOLD = 3


@dataclass(frozen=True, slots=True)
class Resolution:
    """A channel with its status, and the routing that follows from it."""

    channel: Channel
    routing: ChannelRouting

    @property
    def resolved(self) -> bool:
        """Whether every requirement is met."""
        return self.channel.status.resolve_status == "RESOLVED"


@dataclass(frozen=True, slots=True)
class Offer:
    """A capability of an agent, its version read; None where it is no version."""

    agent: Agent
    capability: Capability
    version: Version | None

    def __str__(self) -> str:
        return f"{self.agent.name} {self.capability.version}"


class Offers:
    """Everything agents offer, indexed by capability name; made once for many channels."""

    def __init__(self, agents: Iterable[Agent]) -> None:
        self.agents = sorted(agents, key=lambda a: (a.metadata.namespace, a.name))
        self._by_name: dict[tuple[str, str], list[Offer]] = defaultdict(list)
        for agent in self.agents:
            for capability in agent.spec.provided_capabilities:
                key = agent.metadata.namespace, capability.name
                self._by_name[key].append(Offer(agent, capability, _version(capability.version)))

    def of(self, namespace: str, name: str) -> list[Offer]:
        """The offers of that capability name in the namespace, by agent name."""
        return self._by_name.get((namespace, name), [])

    def names(self, namespace: str) -> list[str]:
        """Every capability name offered in the namespace."""
        return [name for space, name in self._by_name if space == namespace]


def resolve(
    agents: Iterable[Agent] | Offers,
    channel: Channel,
    previous: ChannelRouting | None = None,
) -> Resolution:
    """Resolves the channel against the agents. `previous` is the routing now in force, which the
    policy `KeepLastGood` keeps when not everything can be resolved.
    """
    offers = agents if isinstance(agents, Offers) else Offers(agents)
    served = any(_refusal(agent, channel) is None for agent in offers.agents)
    chosen: list[tuple[RequiredCapability, Offer]] = []
    missing: list[UnresolvedCapability] = []
    for required in channel.spec.required_capabilities:
        found = _choose(required, channel, offers)
        if isinstance(found, Offer):
            chosen.append((required, found))
        else:
            missing.append(found)
    complete = served and not missing
    routing = _routing(channel, chosen, complete, previous)
    status = _status(channel, missing, complete)
    status = status.but(conditions=(*status.conditions, *_fallback(channel, routing)))
    return Resolution(channel.but(status=status), routing)


# --- choosing ------------------------------------------------------------------------------------


def _choose(
    required: RequiredCapability, channel: Channel, offers: Offers
) -> Offer | UnresolvedCapability:
    """The offer that meets the requirement, or why there is none."""
    try:
        wanted = VersionRange.parse(required.version)
    except LmosError as error:
        return _unresolved(required, "InvalidRange", error.message, [])
    named = offers.of(channel.metadata.namespace, required.name)
    open_ = [o for o in named if _refusal(o.agent, channel) is None]
    fitting = [(o, v) for o in open_ if (v := o.version) is not None and wanted.contains(v)]
    if not fitting:
        return _explain(required, channel, offers, named, open_)
    versions = [version for _, version in fitting]
    best = max(versions) if required.strategy == "HIGHEST" else min(versions)
    ties = [offer for offer, version in fitting if version == best]
    return min(ties, key=lambda o: (not o.agent.status.is_true("Ready"), o.agent.name))


def _refusal(agent: Agent, channel: Channel) -> UnresolvedReason | None:
    """Why the agent does not count for the channel, None when it does."""
    if agent.metadata.namespace != channel.metadata.namespace:
        return "NoProvider"
    if agent.subset != channel.subset:
        return "SubsetMismatch"
    if agent.spec.supported_tenants and channel.tenant not in agent.spec.supported_tenants:
        return "TenantNotSupported"
    if channel.channel not in agent.spec.supported_channels:
        return "ChannelNotSupported"
    return None


# --- explaining ----------------------------------------------------------------------------------


def _explain(
    required: RequiredCapability,
    channel: Channel,
    offers: Offers,
    named: list[Offer],
    open_: list[Offer],
) -> UnresolvedCapability:
    """The reason that came nearest to a match, and the offers that did."""
    what = f"{required.name} {required.version}"
    who = f"no agent of tenant {channel.tenant or '(none)'} provides {what}"
    if open_:
        readable = [o for o in open_ if o.version is not None]
        nearest = sorted(readable, key=lambda o: (o.version, o.agent.name), reverse=True)
        if readable:
            return _unresolved(required, "VersionMismatch", who, [str(o) for o in nearest])
        bad = [str(o) for o in open_]
        return _unresolved(required, "InvalidVersion", f"{who}: versions must be semver", bad)
    if named:
        reason = _refusal(named[0].agent, channel) or "NoProvider"
        return _unresolved(required, reason, f"{who}{_because(reason, channel)}", map(str, named))
    names = offers.names(channel.metadata.namespace)
    similar = difflib.get_close_matches(required.name, names, _NEAREST, 0.75)
    return _unresolved(
        required,
        "NoProvider",
        who,
        [f"{o} ({n})" for n in similar for o in offers.of(channel.metadata.namespace, n)],
    )


def _because(reason: UnresolvedReason, channel: Channel) -> str:
    match reason:
        case "TenantNotSupported":
            return f" for tenant {channel.tenant!r}"
        case "ChannelNotSupported":
            return f" on channel {channel.channel!r}"
        case "SubsetMismatch":
            return f" in subset {channel.subset!r}"
        case _:
            return ""


def _unresolved(
    required: RequiredCapability, reason: UnresolvedReason, message: str, near: Iterable[str]
) -> UnresolvedCapability:
    nearest = tuple(near)[:_NEAREST]
    if nearest:
        message += f"; nearest: {', '.join(nearest)}"
    return UnresolvedCapability(
        **required.model_dump(), reason=reason, message=message, nearest=nearest
    )


# --- results -------------------------------------------------------------------------------------


def _status(channel: Channel, missing: list[UnresolvedCapability], complete: bool) -> ChannelStatus:
    total = len(channel.spec.required_capabilities)
    if complete:
        reason, message = "AllResolved", f"{total} of {total} capabilities resolved"
    elif missing:
        reason = "CapabilitiesUnresolved"
        message = _first_of(missing)
    else:
        reason, message = "NoAgents", "no agent supports this tenant, channel and subset"
    generation = channel.metadata.generation
    partly = complete or (channel.spec.resolve_policy == "Partial" and len(missing) < total)
    return ChannelStatus(
        resolve_status="RESOLVED" if complete else "UNRESOLVED",
        unresolved_required_capabilities=tuple(missing),
        observed_generation=generation,
        conditions=(
            _condition("Resolved", complete, reason, message, generation),
            _condition("Ready", partly, "Serving" if partly else reason, message, generation),
        ),
    )


def _first_of(missing: list[UnresolvedCapability]) -> str:
    """Why, for the first few; the status lists all."""
    told = [capability.message for capability in missing[:_TOLD]]
    more = len(missing) - len(told)
    return "; ".join([*told, f"and {more} more"] if more else told)


def _condition(type_: str, true: bool, reason: str, message: str, generation: int) -> Condition:
    return Condition(
        type=type_,
        status="True" if true else "False",
        reason=reason,
        message=message,
        observed_generation=generation,
    )


def _fallback(channel: Channel, routing: ChannelRouting) -> list[Condition]:
    """Whether all agents of the channel's fallback serve it; nothing where it names none."""
    steps = [step for step in channel.spec.fallback if not step.human]
    if not steps:
        return []
    groups = routing.spec.capability_groups
    agents = {group.name for group in groups}
    served = {name for group in groups for c in group.capabilities for name in (c.name, c.id)}
    missing = [s for s in steps if s.agent not in agents and s.capability not in served - {""}]
    if not missing:
        reason, message = "AllServing", f"{len(steps)} of {len(steps)} steps have an agent"
    else:
        reason = "NotServing"
        told = ", ".join(map(str, missing))
        message = f"nobody of the channel is or serves {told}; require a capability of theirs"
    generation = channel.metadata.generation
    return [_condition("Fallback", not missing, reason, message, generation)]


def _routing(
    channel: Channel,
    chosen: list[tuple[RequiredCapability, Offer]],
    complete: bool,
    previous: ChannelRouting | None,
) -> ChannelRouting:
    policy = channel.spec.resolve_policy
    if not complete and policy == "KeepLastGood" and previous is not None:
        spec = previous.spec
    elif not complete and policy != "Partial":
        spec = ChannelRoutingSpec()
    else:
        spec = ChannelRoutingSpec(capability_groups=_groups(chosen))
    known = channel.metadata.labels
    labels = {
        TENANT: channel.tenant,
        CHANNEL: channel.channel,
        SUBSET: channel.subset,
        VERSION: known.get(VERSION, ""),
    }
    metadata = ObjectMeta(
        name=channel.name,
        namespace=channel.metadata.namespace,
        labels={key: value for key, value in labels.items() if value},
        annotations=channel.metadata.settings,
    )
    how = {"collaboration": channel.spec.collaboration, "fallback": channel.spec.fallback}
    return ChannelRouting(metadata=metadata, spec=spec.but(**how))


def _groups(chosen: list[tuple[RequiredCapability, Offer]]) -> tuple[CapabilityGroup, ...]:
    by_agent: dict[str, list[tuple[RequiredCapability, Offer]]] = defaultdict(list)
    for required, offer in chosen:
        by_agent[offer.agent.name].append((required, offer))
    return tuple(_group(by_agent[name]) for name in sorted(by_agent))


def _group(wires: list[tuple[RequiredCapability, Offer]]) -> CapabilityGroup:
    agent = wires[0][1].agent
    url = agent.status.address.url if agent.status.address else agent.spec.url
    host = urlsplit(url).netloc or f"{agent.name}.{agent.metadata.namespace}.svc.cluster.local"
    return CapabilityGroup(
        id=agent.spec.id or agent.name,
        name=agent.name,
        description=agent.spec.description,
        capabilities=tuple(
            RoutedCapability(
                id=offer.capability.id,
                name=offer.capability.name,
                description=offer.capability.description,
                required_version=required.version,
                provided_version=offer.capability.version,
                host=host,
                url=url,
            )
            for required, offer in wires
        ),
    )


def _version(text: str) -> Version | None:
    try:
        return Version.parse(text)
    except LmosError:
        return None
