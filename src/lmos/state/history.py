"""What was said in a conversation, for turns that bring only their new message."""

from collections.abc import Sequence

from lmos.model import Message, State, Turn, errors

#: Messages kept of a conversation.
LIMIT = 40
#: Seconds after its last turn that a conversation is kept.
TTL = 30 * 24 * 3600.0
_TRIES = 5


class History:
    """Remembers conversations in a `State`. Tenants, channels and conversations are kept apart."""

    def __init__(self, state: State, *, limit: int = LIMIT, ttl: float = TTL) -> None:
        self._state = state
        self._limit = limit
        self._ttl = ttl

    async def recall(self, turn: Turn) -> Turn:
        """The turn with what was said before its message. A turn that brings more than its own
        message has its history with it, and is given back as it is.
        """
        if len(turn.messages) != 1:
            return turn
        kept = await self._state.get(key_of("history", turn))
        if kept is None:
            return turn
        before = tuple(Message.model_validate(message) for message in kept[0])
        return turn.but(messages=(*before, *turn.messages))

    async def remember(self, turn: Turn, answer: Sequence[Message]) -> None:
        """Adds the turn's message and the answer to the conversation."""
        key = key_of("history", turn)
        new = [m.wire() for m in (*turn.messages[-1:], *answer)]
        for _ in range(_TRIES):
            kept = await self._state.get(key)
            before, version = kept or ([], 0)
            if not before:
                before = [m.wire() for m in turn.history]
            try:
                await self._state.put(
                    key, [*before, *new][-self._limit :], version=version, ttl=self._ttl
                )
            except errors.Conflict:
                continue  # another turn of the conversation was remembered meanwhile
            return
        raise errors.Conflict(f"conversation {turn.conversation_id} changes too fast to follow")


def key_of(what: str, turn: Turn) -> str:
    """The key for something about a turn's conversation. Parts are escaped, so that no name can
    reach into another tenant's keys.
    """
    parts = (turn.tenant, turn.channel, turn.conversation_id)
    return "/".join((what, *(p.replace("%", "%25").replace("/", "%2F") for p in parts)))
