"""Which agent a conversation is with, so that the next turn can stay with it.

An agent that asked the user something gets the reply, although the reply by itself may look like
nobody's ("Main Street 5") or a little like somebody else's. It loses the conversation only to a
message that the router gives to another agent almost for certain.
"""

from dataclasses import dataclass

from lmos.model import Candidate, Decision, State, Turn
from lmos.state import key_of

#: Seconds that the active agent of a conversation is remembered.
TTL = 24 * 3600.0
#: Probability from which a message that could be a reply is taken for a new subject.
CERTAIN = 0.9


@dataclass(frozen=True, slots=True)
class Active:
    """The agent that answered last; `waiting` when its answer was a question."""

    agent: str
    waiting: bool = False


class Affinity:
    """The active agents of conversations, kept in a `State`."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def of(self, turn: Turn) -> Active | None:
        """The active agent of the turn's conversation, if it has one."""
        found = await self._state.get(key_of("active", turn))
        return Active(**found[0]) if found and isinstance(found[0], dict) else None

    async def keep(self, turn: Turn, active: Active) -> None:
        """Makes the agent the active one."""
        value = {"agent": active.agent, "waiting": active.waiting}
        await self._state.put(key_of("active", turn), value, ttl=TTL)


def replied(decision: Decision, agent: str) -> Decision:
    """The decision, given that the agent waits for a reply: its own, unless the message is almost
    certainly for another.
    """
    if decision.agent and (decision.agent == agent or decision.confidence >= CERTAIN):
        return decision
    unseen = Candidate(agent=agent, probability=0)
    mine = next((c for c in decision.candidates if c.agent == agent), unseen)
    probability = max(mine.probability, 1 - sum(c.probability for c in decision.candidates))
    rest = (c for c in decision.candidates if c.agent != agent)
    return decision.but(
        outcome="route",
        candidates=(mine.but(probability=probability), *rest),
        confidence=probability,
        sticky=True,
        reason=f"{agent} waits for the reply to its question",
    )
