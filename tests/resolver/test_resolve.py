"""Resolving channels: who is chosen, why nobody is, and that nothing else matters."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmos.model import (
    Agent,
    AgentSpec,
    AgentStatus,
    Capability,
    Channel,
    ChannelSpec,
    Condition,
    ObjectMeta,
    RequiredCapability,
)
from lmos.resolver import VersionRange, resolve


def agent(name: str, *offers: str, labels: dict[str, str] | None = None, **spec: Any) -> Agent:
    """An agent on channel web; offers are `capability@version`."""
    capabilities = tuple(
        Capability(name=o.split("@")[0], version=o.split("@")[1], description=o) for o in offers
    )
    spec = {"supported_channels": ("web",), "provided_capabilities": capabilities, **spec}
    return Agent(metadata=ObjectMeta(name=name, labels=labels or {}), spec=AgentSpec(**spec))


def channel(*required: str, labels: dict[str, str] | None = None, **spec: Any) -> Channel:
    """A channel acme/web; requirements are `capability@range` or `capability@range@STRATEGY`."""
    needs = []
    for text in required:
        name, version, strategy = [*text.split("@"), "HIGHEST"][:3]
        needs.append(RequiredCapability(name=name, version=version, strategy=strategy))
    named = {"tenant": "acme", "channel": "web", "version": "1.0.0", **(labels or {})}
    return Channel(
        metadata=ObjectMeta(name="acme-web", labels=named, generation=3),
        spec=ChannelSpec(required_capabilities=tuple(needs), **spec),
    )


def routed(*agents: Agent, to: Channel) -> dict[str, str]:
    """Capability name -> `agent version` of the routing."""
    groups = resolve(agents, to).routing.spec.capability_groups
    return {c.name: f"{g.name} {c.provided_version}" for g in groups for c in g.capabilities}


def reasons(*agents: Agent, to: Channel) -> list[str]:
    found = resolve(agents, to).channel.status.unresolved_required_capabilities
    return [c.reason for c in found]


def test_the_highest_and_the_lowest_satisfying_version() -> None:
    agents = agent("a", "bill@1.0.0"), agent("b", "bill@1.4.0"), agent("c", "bill@2.0.0")
    assert routed(*agents, to=channel("bill@^1.0.0")) == {"bill": "b 1.4.0"}
    assert routed(*agents, to=channel("bill@^1.0.0@MOST_SIMILAR")) == {"bill": "a 1.0.0"}


def test_a_tie_goes_to_who_is_ready_then_by_name() -> None:
    first, second = agent("a", "bill@1.0.0"), agent("b", "bill@1.0.0")
    assert routed(second, first, to=channel("bill@1.0.0")) == {"bill": "a 1.0.0"}
    ready = AgentStatus(conditions=(Condition(type="Ready", status="True"),))
    assert routed(first, second.but(status=ready), to=channel("bill@1.0.0")) == {"bill": "b 1.0.0"}


def test_the_routing_groups_by_agent_and_carries_the_channels_labels() -> None:
    agents = agent("a", "bill@1.0.0", "pay@1.0.0", description="Bills"), agent("b", "order@2.0.0")
    resolution = resolve(agents, channel("bill@>=1", "order@2.x", "pay@1"))
    assert resolution.resolved
    routing = resolution.routing
    assert routing.metadata.labels == {
        "tenant": "acme", "channel": "web", "version": "1.0.0", "subset": "stable",
    }  # fmt: skip
    assert [(g.name, len(g.capabilities)) for g in routing.spec.capability_groups] == [
        ("a", 2),
        ("b", 1),
    ]
    first = routing.spec.capability_groups[0].capabilities[0]
    assert (first.required_version, first.host) == (">=1", "a.default.svc.cluster.local")


def test_the_address_found_wins_over_the_guessed_host() -> None:
    resolution = resolve([agent("a", "bill@1.0.0", url="http://127.0.0.1:9/x")], channel("bill@1"))
    capability = resolution.routing.spec.capability_groups[0].capabilities[0]
    assert (capability.host, capability.url) == ("127.0.0.1:9", "http://127.0.0.1:9/x")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"supported_tenants": ("globex",)}, "TenantNotSupported"),
        ({"supported_channels": ("ivr",)}, "ChannelNotSupported"),
        ({"supported_channels": ()}, "ChannelNotSupported"),
        ({"labels": {"subset": "canary"}}, "SubsetMismatch"),
    ],
)
def test_an_agent_that_does_not_count_says_why(changed: dict[str, Any], reason: str) -> None:
    assert reasons(agent("a", "bill@1.0.0", **changed), to=channel("bill@1")) == [reason]


def test_a_missing_version_names_the_nearest() -> None:
    resolution = resolve([agent("billing-agent", "view-bill@1.1.0")], channel("view-bill@>=1.2"))
    (missing,) = resolution.channel.status.unresolved_required_capabilities
    assert missing.message == (
        "no agent of tenant acme provides view-bill >=1.2; nearest: billing-agent 1.1.0"
    )
    assert {c.observed_generation for c in resolution.channel.status.conditions} == {3}


def test_the_condition_tells_the_first_few_and_the_status_all() -> None:
    wanted = channel(*(f"need-{n}@1" for n in range(30)))
    status = resolve([agent("a", "other@1.0.0")], wanted).channel.status
    assert len(status.unresolved_required_capabilities) == 30
    (condition,) = (c for c in status.conditions if c.type == "Resolved")
    assert condition.message.count("no agent of tenant acme") == 3
    assert condition.message.endswith("; and 27 more")


def test_a_misspelt_capability_names_the_one_meant() -> None:
    resolution = resolve([agent("a", "view-bill@1.0.0")], channel("view-bil@1"))
    (missing,) = resolution.channel.status.unresolved_required_capabilities
    assert (missing.reason, missing.nearest) == ("NoProvider", ("a 1.0.0 (view-bill)",))


def test_bad_versions_and_ranges_hurt_only_themselves() -> None:
    agents = agent("a", "bill@1.0", "pay@1.0.0"), agent("b", "bill@1.0.0")
    assert routed(*agents, to=channel("bill@1", "pay@1")) == {"bill": "b 1.0.0", "pay": "a 1.0.0"}
    assert reasons(agents[0], to=channel("bill@1", "pay@1")) == ["InvalidVersion"]
    assert reasons(*agents, to=channel("bill@one", "pay@1")) == ["InvalidRange"]


def test_nobody_for_the_channel_means_unresolved_even_without_requirements() -> None:
    resolution = resolve([], channel())
    assert not resolution.resolved
    assert resolve([agent("a")], channel()).resolved


def test_agents_of_another_namespace_do_not_count() -> None:
    other = agent("a", "bill@1.0.0")
    moved = other.but(metadata=other.metadata.but(namespace="elsewhere"))
    assert reasons(moved, to=channel("bill@1")) == ["NoProvider"]


def test_policies_for_what_is_incomplete() -> None:
    agents = [agent("a", "bill@1.0.0")]
    whole = resolve(agents, channel("bill@1")).routing
    partial = channel("bill@1", "pay@1")
    assert len(resolve(agents, partial).routing.spec.capability_groups) == 1
    none = channel("bill@1", "pay@1", resolve_policy="AllOrNothing")
    assert resolve(agents, none).routing.spec.capability_groups == ()
    keep = channel("bill@1", "pay@1", resolve_policy="KeepLastGood")
    assert resolve(agents, keep, whole).routing.spec == whole.spec
    assert resolve(agents, keep).routing.spec.capability_groups == ()


offers = st.builds(
    "{}@{}.{}.0".format, st.sampled_from("abcd"), st.integers(0, 3), st.integers(0, 3)
)
agents_ = st.lists(st.lists(offers | st.just("a@bad"), max_size=5), min_size=1, max_size=6).map(
    lambda lists: [agent(f"agent-{i}", *o) for i, o in enumerate(lists)]
)
needs = st.lists(
    st.builds(
        "{}@{}".format, st.sampled_from("abcde"), st.sampled_from([">=1", "^1", "1.2", "*", "?"])
    ),
    max_size=5,
    unique=True,
)


@given(agents_, needs, st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_order_and_strangers_change_nothing_and_nothing_is_lost(
    agents: list[Agent], required: list[str], random: Any
) -> None:
    wanted = channel(*required)
    resolution = resolve(agents, wanted)
    shuffled = random.sample(agents, len(agents))
    assert resolve(shuffled, wanted) == resolution
    assert resolve([*agents, agent("stranger", "zzz@1.0.0")], wanted) == resolution
    missing = {
        (c.name, c.version) for c in resolution.channel.status.unresolved_required_capabilities
    }
    met = [c for g in resolution.routing.spec.capability_groups for c in g.capabilities]
    assert missing | {(c.name, c.required_version) for c in met} == {
        (r.name, r.version) for r in wanted.spec.required_capabilities
    }
    assert all(VersionRange.parse(c.required_version).contains(c.provided_version) for c in met)
