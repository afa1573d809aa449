"""What goes with a turn to every agent that is asked in it."""

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from typing import Any

from lmos.model import (
    AnonymizationEntity,
    Answer,
    Done,
    Failed,
    Handover,
    InputRequired,
    Share,
    TextDelta,
    Turn,
    TurnEvent,
)
from lmos.runtime.decisions import Trail
from lmos.runtime.memory import Sharing
from lmos.runtime.routings import Member

#: Values taken out of texts that are kept of a conversation; the oldest go first.
MAX_ENTITIES = 500
_KEPT = "entities"


class Companion:
    """Tells each agent what it is to know besides the turn, and hears what each sends: what others
    share with it, and which values stand behind the placeholders in the conversation.
    """

    def __init__(self, trail: Trail, sharing: Sharing, notes: Mapping[str, Any]) -> None:
        self.trail = trail
        self.sharing = sharing
        self._entities: dict[str, AnonymizationEntity] = {}
        self._know(trail.turn.anonymization_entities)
        self._noted = [AnonymizationEntity.model_validate(e) for e in notes.get(_KEPT, ())]
        self._know(self._noted)

    def told(self, member: Member, turn: Turn) -> Turn:
        """The turn as this agent gets it. What the caller says is shared counts for nothing."""
        changes: dict[str, Any] = {"shared": self.sharing.readable(member)}
        if self._entities:
            changes["anonymization_entities"] = tuple(self._entities.values())
        return turn.but(**changes)

    def heard(
        self, member: Member, events: AsyncGenerator[TurnEvent, None]
    ) -> AsyncGenerator[TurnEvent, None]:
        """The agent's events, without those that are not for the caller."""
        return self._heard(member, events)

    def notes(self) -> dict[str, Any]:
        """What to note beside the conversation."""
        if not self._entities:
            return {}
        new = [entity for entity in self._entities.values() if entity not in self._noted]
        if not new:
            return {}
        replaced = {entity.replacement for entity in new}
        old = [entity for entity in self._noted if entity.replacement not in replaced]
        return {_KEPT: [entity.wire() for entity in [*old, *new][-MAX_ENTITIES:]]}

    async def _heard(
        self, member: Member, events: AsyncGenerator[TurnEvent, None]
    ) -> AsyncGenerator[TurnEvent, None]:
        with self.trail.asking(member.agent) as step:
            async with aclosing(events):
                async for event in events:
                    match event:
                        case TextDelta():
                            pass
                        case Share():
                            self.sharing.take(member, event)
                            continue
                        case Answer():
                            self._know(event.anonymization_entities)
                        case InputRequired() | Handover():
                            self._know(event.anonymization_entities)
                            step.saw(event)
                        case Done() | Failed():
                            step.saw(event)
                    yield event

    def _know(self, entities: Iterable[AnonymizationEntity]) -> None:
        """What a placeholder stands for is settled by who says it first."""
        for entity in entities:
            self._entities.setdefault(entity.replacement, entity)
