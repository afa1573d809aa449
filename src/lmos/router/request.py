"""What a router is asked, and what every router is."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from lmos.model import Candidate, Decision, Message, errors
from lmos.router.table import RoutingTable


@dataclass(frozen=True, slots=True)
class RoutingRequest:
    """What is to be routed: the conversation with the new message last, the agent that answered
    last in it, the agents that the last answer offered to choose from, and the agent that the
    caller insists on. `deadline` is an absolute, timezone-aware moment.
    """

    messages: tuple[Message, ...]
    active_agent: str | None = None
    offered: tuple[str, ...] = ()
    explicit_agent: str | None = None
    deadline: datetime | None = None

    @property
    def text(self) -> str:
        """The new message."""
        return self.messages[-1].content if self.messages else ""

    @property
    def before(self) -> str:
        """What the user said last before it, empty when nothing."""
        said = (m.content for m in reversed(self.messages[:-1]) if m.role == "user")
        return next(said, "")


class Router(Protocol):
    """Decides which agent of a table a message is for. Holds nothing of conversations: a decision
    depends on request and table alone, and on what a language model says where one is asked.
    """

    @property
    def name(self) -> str:
        """The kind of router: vector, llm, hybrid, cascade."""
        ...

    @property
    def model(self) -> str:
        """The name of the language model that it may ask, or empty."""
        ...

    async def decide(self, request: RoutingRequest, table: RoutingTable) -> Decision:
        """The decision. `AgentNotFound` when the agent that the caller insists on is not there."""
        ...


def explicit(name: str, table: RoutingTable) -> Decision:
    """The decision for the agent that the caller insists on; `AgentNotFound` when the table has
    none of that name.
    """
    if name not in table.by_name:
        there = ", ".join(table.names) or "none"
        raise errors.AgentNotFound(f"there is no agent {name!r} on this channel; it has {there}")
    return Decision(
        outcome="route",
        candidates=(Candidate(agent=name, probability=1.0),),
        confidence=1.0,
        reason="the caller asked for this agent",
        stage="explicit",
        table=table.version,
    )
