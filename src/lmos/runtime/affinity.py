"""Which agent a conversation is with, so that the next turn can stay with it.

An agent that asked the user something gets the reply, although the reply by itself may look like
nobody's ("Main Street 5") or a little like somebody else's. It loses the conversation only to a
message that the router gives to another agent almost for certain.

Where the platform itself asked which agent is meant, the agents that it offered are noted for the
one turn that follows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from lmos.model import Candidate, Decision
from lmos.router.evidence import OFFERED

#: Probability from which a message that could be a reply is taken for a new subject.
CERTAIN = 0.9


@dataclass(frozen=True, slots=True)
class Active:
    """The agent that answered last; `waiting` when its answer was a question."""

    agent: str
    waiting: bool = False

    @classmethod
    def noted(cls, notes: Mapping[str, Any]) -> Self | None:
        """The active agent, from what was noted beside a conversation."""
        agent = notes.get("agent")
        return cls(agent, bool(notes.get("waiting"))) if isinstance(agent, str) else None

    def notes(self) -> dict[str, Any]:
        """What to note beside the conversation."""
        return {"agent": self.agent, "waiting": self.waiting}


def replied(decision: Decision, agent: str) -> Decision:
    """The decision, given that the agent waits for a reply: its own, unless the message is almost
    certainly for another.
    """
    reason = f"{agent} waits for the reply to its question"
    if decision.agent == agent:
        return decision.but(sticky=True, reason=reason)
    if decision.agent and decision.confidence >= CERTAIN:
        return decision
    unseen = Candidate(agent=agent, probability=0)
    mine = next((c for c in decision.candidates if c.agent == agent), unseen)
    probability = max(mine.probability, 1 - sum(c.probability for c in decision.candidates))
    rest = [c for c in decision.candidates if c.agent != agent]
    return decision.but(
        outcome="route",
        candidates=(mine.but(probability=probability), *rest),
        out_of_scope=max(0.0, 1 - probability - sum(c.probability for c in rest)),
        confidence=probability,
        sticky=True,
        reason=reason,
    )


def offered(decision: Decision) -> tuple[str, ...]:
    """The agents that the user is asked to choose from, in the order shown; none when not asked."""
    if decision.outcome != "clarify":
        return ()
    return tuple(dict.fromkeys(c.agent for c in decision.candidates[:OFFERED]))


def offered_before(notes: Mapping[str, Any]) -> tuple[str, ...]:
    """The agents that the last answer offered, from what was noted beside a conversation."""
    return tuple(notes.get("offered", ()))


def offer_notes(decision: Decision) -> dict[str, Any]:
    """What to note of the offer; an earlier one is over once the turn is answered."""
    return {"offered": list(offered(decision))}
