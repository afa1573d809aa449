"""What the platform is described with: Agents, Channels, ChannelRoutings, ChannelRollouts, Tenants.

Group, kinds, field names, labels and defaults are those of the original's custom resources, so its
manifests are read unchanged. Fields it does not have are optional additions. Tenant, channel and
subset of a Channel are labels there; here they may stand in the spec too, which then wins. The kind
Tenant is an addition.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar

from pydantic import AfterValidator, AwareDatetime, Field, field_validator, model_validator

from lmos.model.base import Model, Strict, Tuple, unique

API_GROUP = "lmos.eclipse"
API_VERSION: Final = "lmos.eclipse/v1"
STABLE = "stable"

#: Label keys of the original.
TENANT, CHANNEL, VERSION, SUBSET, AGENT = "tenant", "channel", "version", "subset", "lmos-agent"


class ObjectMeta(Model):
    """Identity and bookkeeping of a resource, as in Kubernetes."""

    name: str = Field(min_length=1, max_length=253)
    namespace: str = "default"
    labels: Mapping[str, str] = Field(default_factory=dict)
    annotations: Mapping[str, str] = Field(default_factory=dict)
    generation: int = 0
    resource_version: str = ""
    uid: str = ""
    creation_timestamp: datetime | None = None
    owner_references: Tuple[dict[str, Any]] = ()

    @field_validator("labels", "annotations", mode="before")
    @classmethod
    def _null_is_empty(cls, value: Any) -> Any:
        return {} if value is None else value

    @property
    def settings(self) -> dict[str, str]:
        """The annotations of this platform's own group."""
        if not self.annotations:
            return {}
        own = f"{API_GROUP}/"
        return {key: value for key, value in self.annotations.items() if key.startswith(own)}


class Condition(Model):
    """One aspect of a resource's state, by the conventions of the Kubernetes API."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str = ""
    message: str = ""
    observed_generation: int = 0
    last_transition_time: datetime | None = None


class Status(Model):
    """What every status has. Unknown fields are kept out of sight, never an error."""

    conditions: Tuple[Condition] = ()
    observed_generation: int = 0

    def condition(self, type_: str) -> Condition | None:
        """The condition of that type, if it was ever reported."""
        return next((c for c in self.conditions if c.type == type_), None)

    def is_true(self, type_: str) -> bool:
        """Whether the condition is reported and true."""
        condition = self.condition(type_)
        return condition is not None and condition.status == "True"


class Key(Model):
    """What identifies a resource in a store."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


class Resource(Strict):
    """A resource: what is wanted (`spec`) and what was found (`status`)."""

    plural: ClassVar[str]
    short: ClassVar[str]

    api_version: Literal["lmos.eclipse/v1"] = API_VERSION
    kind: str
    metadata: ObjectMeta

    @property
    def key(self) -> Key:
        """Kind, namespace and name."""
        return Key(kind=self.kind, namespace=self.metadata.namespace, name=self.metadata.name)

    @property
    def name(self) -> str:
        """`metadata.name`."""
        return self.metadata.name

    @property
    def subset(self) -> str:
        """The label `subset`, `stable` when missing."""
        return self.metadata.labels.get(SUBSET) or STABLE


# --- Agent ---------------------------------------------------------------------------------------


class Capability(Strict):
    """Something an agent can do, in one version. `examples` are utterances that ask for it."""

    id: str = ""
    name: str = Field(min_length=1)
    version: str
    description: str = ""
    examples: Tuple[str] = ()

    @property
    def key(self) -> str:
        """The id, or the name where there is no id."""
        return self.id or self.name


class AgentSpec(Strict):
    """What an agent offers, to whom. `url` announces where a remote agent answers (addition)."""

    id: str = ""
    description: str = ""
    supported_tenants: Tuple[str] = ()
    supported_channels: Tuple[str] = ()
    provided_capabilities: Tuple[Capability] = ()
    version: str = ""
    url: str = ""

    @field_validator("supported_tenants", "supported_channels", "provided_capabilities")
    @classmethod
    def _a_set(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        return unique(value)


class AgentAddress(Model):
    """Where an agent was found to answer. `protocol` names the one the runtime should speak."""

    url: str = ""
    protocol: str = "a2a"


class AgentStatus(Status):
    """What is known of a running agent: condition `Ready`, its address, what it was read from."""

    address: AgentAddress | None = None
    source: str = ""


class Agent(Resource):
    """An agent that answers turns and offers capabilities."""

    plural: ClassVar[str] = "agents"
    short: ClassVar[str] = "ag"

    kind: Literal["Agent"] = "Agent"
    spec: AgentSpec = AgentSpec()
    status: AgentStatus = AgentStatus()


# --- Channel -------------------------------------------------------------------------------------

Strategy = Literal["HIGHEST", "MOST_SIMILAR"]
ResolvePolicy = Literal["Partial", "AllOrNothing", "KeepLastGood"]
Collaboration = Literal["routed", "supervised"]
#: The queue of people that a fallback means where it names none.
HUMAN = "human"
UnresolvedReason = Literal[
    "NoProvider",
    "VersionMismatch",
    "InvalidVersion",
    "InvalidRange",
    "TenantNotSupported",
    "ChannelNotSupported",
    "SubsetMismatch",
]


class RequiredCapability(Strict):
    """A capability that a channel needs; `version` is a range."""

    id: str = ""
    name: str = Field(min_length=1)
    version: str
    strategy: Strategy = "HIGHEST"


class UnresolvedCapability(Model):
    """A required capability that nothing provides: why, and what came nearest."""

    id: str = ""
    name: str
    version: str
    strategy: Strategy = "HIGHEST"
    reason: UnresolvedReason = "NoProvider"
    message: str = ""
    nearest: Tuple[str] = ()


class FallbackStep(Strict):
    """Who answers when those before cannot: an agent of the channel by name, whoever serves a
    capability of it, or people. `human` is their queue or address, and `message` what the user is
    told then. The word `human` alone is a step too: people, in the queue of that name.
    """

    agent: str = ""
    capability: str = ""
    human: str = ""
    message: str = ""

    @model_validator(mode="before")
    @classmethod
    def _word(cls, value: Any) -> Any:
        return {"human": HUMAN} if value == HUMAN else value

    @model_validator(mode="after")
    def _one(self) -> "FallbackStep":
        if sum(map(bool, (self.agent, self.capability, self.human))) != 1:
            raise ValueError("a step of a fallback names one of agent, capability and human")
        return self

    def __str__(self) -> str:
        return self.agent or self.capability or self.human


def _chain(steps: tuple[FallbackStep, ...]) -> tuple[FallbackStep, ...]:
    """The steps. Nobody comes after people: the conversation is theirs."""
    if any(step.human for step in steps[:-1]):
        raise ValueError("in a fallback, human comes last")
    return steps


Fallback = Annotated[Tuple[FallbackStep], AfterValidator(_chain)]


class ChannelSpec(Strict):
    """What a channel needs. `tenant`, `channel` and `subset` win over the labels (addition).

    Additions too: `collaboration` says who decides which agents answer, the router (`routed`) or a
    language model that asks them (`supervised`); `fallback` who answers when those cannot.
    """

    required_capabilities: Tuple[RequiredCapability]
    tenant: str = ""
    channel: str = ""
    subset: str = ""
    resolve_policy: ResolvePolicy = "Partial"
    collaboration: Collaboration = "routed"
    fallback: Fallback = ()

    @field_validator("required_capabilities")
    @classmethod
    def _a_set(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        return unique(value)


class ChannelStatus(Status):
    """Whether every requirement is met; conditions `Resolved` and `Ready`."""

    resolve_status: Literal["RESOLVED", "UNRESOLVED"] = "UNRESOLVED"
    unresolved_required_capabilities: Tuple[UnresolvedCapability] = ()


class Channel(Resource):
    """A way in for a tenant's users (web, mobile, ivr ...), with the capabilities it requires."""

    plural: ClassVar[str] = "channels"
    short: ClassVar[str] = "ch"

    kind: Literal["Channel"] = "Channel"
    spec: ChannelSpec
    status: ChannelStatus = ChannelStatus()

    @property
    def tenant(self) -> str:
        """The tenant it belongs to, empty when neither spec nor label says so."""
        return self.spec.tenant or self.metadata.labels.get(TENANT, "")

    @property
    def channel(self) -> str:
        """The channel's id within its tenant, empty when neither spec nor label says so."""
        return self.spec.channel or self.metadata.labels.get(CHANNEL, "")

    @property
    def subset(self) -> str:
        """The parallel version it describes, `stable` by default."""
        return self.spec.subset or super().subset


# --- ChannelRouting ------------------------------------------------------------------------------


class RoutedCapability(Model):
    """A capability with the agent version that provides it. `host`, `url`: where."""

    id: str = ""
    name: str
    required_version: str = ""
    provided_version: str
    host: str = ""
    url: str = ""
    description: str = ""


class CapabilityGroup(Model):
    """What one agent serves on the channel; `name` is the Agent's name."""

    id: str = ""
    name: str
    description: str = ""
    capabilities: Tuple[RoutedCapability]


class ChannelRoutingSpec(Model):
    """The agents that serve a channel, and how, as the Channel says."""

    capability_groups: Tuple[CapabilityGroup] = ()
    collaboration: Collaboration = "routed"
    fallback: Fallback = ()


class ChannelRouting(Resource):
    """A resolved channel: which agent serves which capability, in which version."""

    plural: ClassVar[str] = "channelroutings"
    short: ClassVar[str] = "cr"

    kind: Literal["ChannelRouting"] = "ChannelRouting"
    spec: ChannelRoutingSpec = ChannelRoutingSpec()
    status: Status = Status()

    @property
    def tenant(self) -> str:
        """The label `tenant`."""
        return self.metadata.labels.get(TENANT, "")

    @property
    def channel(self) -> str:
        """The label `channel`."""
        return self.metadata.labels.get(CHANNEL, "")


# --- ChannelRollout ------------------------------------------------------------------------------


class WeightedChannel(Strict):
    """A Channel by name, with its share of the conversations in percent."""

    name: str = ""
    weight: int = Field(default=0, ge=0, le=100)


class CanaryStrategy(Strict):
    """The two Channels between which conversations move."""

    canary_channel: WeightedChannel = WeightedChannel()
    stable_channel: WeightedChannel = WeightedChannel()


class RolloutStrategy(Strict):
    """How a rollout proceeds."""

    canary: CanaryStrategy = CanaryStrategy()


class ChannelRolloutSpec(Strict):
    """What a rollout is to do."""

    strategy: RolloutStrategy = RolloutStrategy()


class ChannelRollout(Resource):
    """Moves conversations of a channel from one subset to another."""

    plural: ClassVar[str] = "channelrollouts"
    short: ClassVar[str] = "crl"

    kind: Literal["ChannelRollout"] = "ChannelRollout"
    spec: ChannelRolloutSpec = ChannelRolloutSpec()
    status: Status = Status()


# --- Tenant --------------------------------------------------------------------------------------


class ApiKey(Strict):
    """A key that opens a tenant, known by its SHA-256 in hexadecimal alone. Keys are made by
    `lmos key`, so that there is nothing to guess; `expires` ends one, `name` tells it from others.
    """

    name: str = ""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    expires: AwareDatetime | None = None


class TokenIssuer(Strict):
    """Who issues tokens (JWT) that open a tenant. Its keys are at `jwks_url`, or where its OpenID
    configuration says. Where several tenants have one issuer and audience, `tenant_claim` names the
    claim that tells them apart.
    """

    issuer: str = Field(min_length=1)
    audience: str = Field(min_length=1)
    jwks_url: str = ""
    user_claim: str = "sub"
    tenant_claim: str = ""
    scopes: Tuple[str] = ()


class TurnLimits(Strict):
    """How many turns a second a tenant may ask for, and each of its users; `burst` so many at once.
    None: as many as there are.
    """

    turns_per_second: float | None = Field(default=None, gt=0)
    burst: int = Field(default=20, ge=1)
    user_turns_per_second: float | None = Field(default=None, gt=0)
    user_burst: int = Field(default=5, ge=1)


class TenantSpec(Strict):
    """Who may ask in a tenant's name, and how much. An `operator` may ask for every tenant."""

    keys: Tuple[ApiKey] = ()
    tokens: Tuple[TokenIssuer] = ()
    limits: TurnLimits = TurnLimits()
    operator: bool = False


class Tenant(Resource):
    """A tenant: its name is what Channels and turns call it."""

    plural: ClassVar[str] = "tenants"
    short: ClassVar[str] = "tn"

    kind: Literal["Tenant"] = "Tenant"
    spec: TenantSpec = TenantSpec()
    status: Status = Status()


R = TypeVar("R", bound=Resource)

#: Every kind, by name.
KINDS: dict[str, type[Resource]] = {
    cls.__name__: cls for cls in (Agent, Channel, ChannelRouting, ChannelRollout, Tenant)
}


def kind_of(word: str) -> type[Resource] | None:
    """The kind meant by a kind name, plural, singular or short name, in any case."""
    low = word.lower()
    for kind in KINDS.values():
        if low in (kind.__name__.lower(), kind.plural, kind.short):
            return kind
    return None
