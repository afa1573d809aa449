"""What goes with a turn to every agent that is asked in it."""

from collections.abc import AsyncGenerator

from lmos.model import Turn, TurnEvent
from lmos.runtime.decisions import Trail
from lmos.runtime.routings import Member


class Companion:
    """Tells each agent what it is to know besides the turn, and notes what each sends."""

    def __init__(self, trail: Trail) -> None:
        self.trail = trail

    def told(self, member: Member, turn: Turn) -> Turn:
        """The turn as this agent gets it."""
        return turn

    def heard(
        self, member: Member, events: AsyncGenerator[TurnEvent, None]
    ) -> AsyncGenerator[TurnEvent, None]:
        """The agent's events, as the caller gets them."""
        return self.trail.following(member.agent, events)
