"""What was said in a conversation, for turns that bring only their new message."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmos.model import Message, State, Turn, errors

#: Messages kept of a conversation.
LIMIT = 40
#: Seconds after its last turn that a conversation is kept.
TTL = 30 * 24 * 3600.0
_TRIES = 5
_INSTRUCTIONS = ("system", "developer")


@dataclass(frozen=True, slots=True)
class Past:
    """A conversation as it was read: its messages, oldest first and in wire form, what was noted
    beside them, and its version (0: there is none).
    """

    messages: Sequence[dict[str, Any]] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    version: int = 0

    def before(self, turn: Turn) -> Turn:
        """The turn with what was said before its message. A turn that brings more than its own
        message has its history with it, and is given back as it is. Instructions are no history:
        those of the turn come first and replace what was kept of earlier ones.
        """
        told = tuple(m for m in turn.history if m.role in _INSTRUCTIONS)
        if len(told) != len(turn.history) or not self.messages:
            return turn
        kept = (Message.model_validate(message) for message in self.messages)
        before = (m for m in kept if not told or m.role not in _INSTRUCTIONS)
        return turn.but(messages=(*told, *before, *turn.messages[-1:]))

    def after(
        self, turn: Turn, answer: Sequence[Message], notes: Mapping[str, Any], limit: int
    ) -> dict[str, Any]:
        """The conversation with the turn and its answer, as it is to be kept."""
        before = self.messages or [m.wire() for m in turn.history]
        new = (m.wire() for m in (*turn.messages[-1:], *answer))
        return {"messages": [*before, *new][-limit:], "notes": {**self.notes, **notes}}


class History:
    """Remembers conversations in a `State`. Tenants, channels and conversations are kept apart."""

    def __init__(self, state: State, *, limit: int = LIMIT, ttl: float = TTL) -> None:
        self._state = state
        self._limit = limit
        self._ttl = ttl

    async def past(self, turn: Turn) -> Past:
        """What is remembered of the turn's conversation."""
        kept = await self._state.get(key_of("conversation", turn))
        return Past(kept[0]["messages"], kept[0]["notes"], kept[1]) if kept else Past()

    async def recall(self, turn: Turn) -> Turn:
        """The turn with what was said before its message; see `Past.before`."""
        return (await self.past(turn)).before(turn)

    async def remember(
        self,
        turn: Turn,
        answer: Sequence[Message],
        *,
        past: Past | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        """Adds the turn's message and the answer to the conversation, and notes beside them.

        `past`, as it was read before, saves reading it again; it is not trusted to be the newest.
        """
        for _ in range(_TRIES):
            past = past or await self.past(turn)
            value = past.after(turn, answer, notes or {}, self._limit)
            try:
                await self._state.put(
                    key_of("conversation", turn), value, version=past.version, ttl=self._ttl
                )
            except errors.Conflict:
                past = None  # another turn of the conversation was remembered meanwhile
                continue
            return
        raise errors.Conflict(f"conversation {turn.conversation_id} changes too fast to follow")


def key_of(what: str, turn: Turn) -> str:
    """The key for something about a turn's conversation. Parts are escaped, so that no name can
    reach into another tenant's keys.
    """
    parts = (turn.tenant, turn.channel, turn.conversation_id)
    return "/".join((what, *(p.replace("%", "%25").replace("/", "%2F") for p in parts)))
