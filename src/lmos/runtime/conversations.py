"""A tenant's conversations: which there are, what was said in them, and deleting them.

The newest first, by their last turn: that of a conversation whose last turn is the one that the
tenant's index leads to. Those of one user are found by what is noted below the user.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lmos.model import Message, State, Turn, errors
from lmos.runtime.affinity import Active
from lmos.runtime.decisions import Log
from lmos.state import Past
from lmos.state.keys import conversation_of, key, unescaped, user_of

#: Turns of the index that are looked at for one page of a list, and conversations of one user.
MAX_LOOKED_AT = 5_000
#: Seconds that a deletion waits for the running turns of a conversation.
PATIENCE = 20.0

#: A turn's conversation with no turn of it running, once that is so or the seconds are over.
Alone = Callable[[Turn, float], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Found:
    """A conversation that is kept. `stamp` orders conversations by their last turn."""

    tenant: str
    channel: str
    conversation: str
    past: Past
    at_key: str

    @property
    def stamp(self) -> str:
        """When its last turn began; empty where that is not known."""
        return str(self.past.notes.get("record", ""))

    def summary(self) -> dict[str, Any]:
        """What a list tells of it."""
        active = Active.noted(self.past.notes)
        return {
            "conversationId": self.conversation,
            "channel": self.channel,
            "users": _users(self.past),
            "messages": len(self.past.messages),
            "lastTurnAt": moment(self.stamp),
            "agent": active.agent if active else None,
            "waiting": bool(active and active.waiting),
        }

    def messages(self) -> list[Message]:
        """What was said, oldest first, as far as it is kept."""
        return [Message.model_validate(message) for message in self.past.messages]


class Conversations:
    """Conversations in a `State`, each tenant's for itself."""

    def __init__(self, state: State, log: Log, alone: Alone) -> None:
        self._state = state
        self._log = log
        self._alone = alone

    async def newest(
        self, tenant: str, limit: int, cursor: str = ""
    ) -> tuple[list[Found], str | None]:
        """So many of the tenant's conversations, those with the newest turns first, and the cursor
        of the rest. A page may be short, or empty, and still have a rest.
        """
        page: list[Found] = []
        looked_at = 0
        async for pointer in self._log.turns(tenant, cursor):
            looked_at += 1
            found = await self._read(tenant, pointer.channel, pointer.conversation)
            if found and found.stamp == pointer.stamp:
                page.append(found)
            if len(page) == limit or looked_at == MAX_LOOKED_AT:
                return page, pointer.cursor
        return page, None

    async def of_user(
        self, tenant: str, user: str, limit: int, cursor: str = ""
    ) -> tuple[list[Found], str | None]:
        """So many of the conversations that the user took part in, in the same order."""
        if not user:
            raise errors.InvalidInput("whose conversations? The user's id is empty")
        found = [found async for found in self._of_user(tenant, user)]
        found.sort(key=lambda f: (f.stamp, f.at_key), reverse=True)
        left = [f for f in found if not cursor or f"{f.stamp}.{f.conversation}" < cursor]
        page = left[:limit]
        more = len(left) > limit
        return page, f"{page[-1].stamp}.{page[-1].conversation}" if page and more else None

    async def find(self, tenant: str, conversation: str, channels: Iterable[str]) -> Found:
        """The conversation, on the one of the channels where it was last. `NotFound` else."""
        found = await self._on(tenant, conversation, channels)
        if not found:
            raise errors.NotFound(f"there is no conversation {conversation!r} of tenant {tenant!r}")
        return max(found, key=lambda f: f.stamp)

    async def delete(self, tenant: str, conversation: str, channels: Sequence[str]) -> int:
        """Deletes all that is kept of the conversation on these channels: what was said and noted,
        what agents share and remember in this state, its decisions with their inputs and feedback,
        and that users took part in it. Gives how many values that were. Turns that are running end
        first; `DeadlineExceeded` when they take too long.
        """
        deleted = 0
        for channel in channels:
            turn = Turn(
                tenant=tenant,
                channel=channel,
                conversation_id=conversation,
                turn_id="-",
                messages=(),
            )
            async with self._alone(turn, PATIENCE):
                deleted += await self._delete(turn)
        return deleted

    # --- inside -----------------------------------------------------------------------------------

    async def _delete(self, turn: Turn) -> int:
        """Deletes what is kept of the turn's conversation, but that nobody else has it now."""
        where = (turn.tenant, turn.channel, turn.conversation_id)
        found = await self._read(*where)
        await self._log.note_deleted(*where)
        deleted = 0
        async for name, _ in self._state.scan(conversation_of(turn, "")):
            if name != conversation_of(turn, "turn"):
                deleted += await self._state.delete(name)
        for user in _users(found.past) if found else ():
            part = user_of(turn.tenant, user, "conversations", *where[1:])
            deleted += await self._state.delete(part)
        return deleted

    async def _on(self, tenant: str, conversation: str, channels: Iterable[str]) -> list[Found]:
        found = [await self._read(tenant, channel, conversation) for channel in channels]
        return [f for f in found if f]

    async def _read(self, tenant: str, channel: str, conversation: str) -> Found | None:
        place = key("conversation", tenant, channel, conversation, "history", "")
        kept = await self._state.get(place)
        if kept is None:
            return None
        return Found(tenant, channel, conversation, Past.read(kept), place)

    async def _of_user(self, tenant: str, user: str) -> AsyncIterator[Found]:
        prefix = user_of(tenant, user, "conversations", "")
        looked_at = 0
        async for name, _ in self._state.scan(prefix):
            channel, _, conversation = name.removeprefix(prefix).partition("/")
            found = await self._read(tenant, unescaped(channel), unescaped(conversation))
            if found and user in _users(found.past):
                yield found
            looked_at += 1
            if looked_at == MAX_LOOKED_AT:
                return


def _users(past: Past) -> list[str]:
    value: Mapping[str, Any] = past.value or {}
    return list(value.get("users", ()))


def moment(stamp: str) -> str | None:
    """The stamp as a moment of ISO 8601."""
    if not stamp.isdecimal():
        return None
    return datetime.fromtimestamp(int(stamp) / 1e6, UTC).isoformat()
