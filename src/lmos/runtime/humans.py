"""Conversations that people have taken over, until they release them.

Whether a conversation is with people is kept below the conversation, so that forgetting a user
forgets it too; an index of the channel leads to those that wait.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lmos.model import Message, Model, State, Turn, errors
from lmos.state import History
from lmos.state.keys import conversation_of, key, unescaped

#: Seconds that a conversation stays with people who do not release it.
TTL = 30 * 24 * 3600.0
#: Conversations told at once.
MOST = 1000


class Held(Model):
    """A conversation that is with people: in which queue, since when, why, for which user."""

    conversation_id: str
    queue: str
    since: datetime
    reason: str = ""
    user_id: str = ""


class Humans:
    """Hands conversations to people and takes them back."""

    def __init__(self, state: State, history: History | None = None) -> None:
        self._state = state
        self._history = history or History(state)

    async def hand(self, turn: Turn, queue: str, reason: str = "") -> Held:
        """Gives the turn's conversation to the people of a queue; no agent answers in it until it
        is released.
        """
        held = Held(
            conversation_id=turn.conversation_id,
            queue=queue,
            since=datetime.now(UTC),
            reason=reason,
            user_id=turn.user.id,
        )
        await self._state.put(_index(turn), turn.conversation_id, ttl=TTL)
        await self._state.put(_held(turn), held.wire(), ttl=TTL)
        return held

    async def holding(self, turn: Turn, notes: Mapping[str, Any]) -> Held | None:
        """Who has the turn's conversation, None where nobody has. `notes` are those beside the
        conversation; they tell of most that nobody has it.
        """
        return await self._held(turn) if notes.get("human") else None

    async def waiting(self, tenant: str, channel: str) -> list[Held]:
        """The channel's conversations that are with people, the longest first; at most `MOST`."""
        prefix = key("humans", tenant, channel, "")
        names = [name async for name, _ in self._state.scan(prefix)]
        turns = [_turn(tenant, channel, unescaped(n.removeprefix(prefix))) for n in names[:MOST]]
        found = await asyncio.gather(*map(self._held, turns))
        return sorted((held for held in found if held), key=lambda held: held.since)

    async def release(self, tenant: str, channel: str, conversation: str, said: str = "") -> Held:
        """Gives the conversation back to the agents. `said` is what people told the user, which
        is remembered as part of it. `NotFound` when it is not with people.
        """
        turn = _turn(tenant, channel, conversation)
        held = await self._held(turn)
        if held is None:
            raise errors.NotFound(
                f"the conversation {conversation!r} of {tenant}/{channel} is not with a human"
            )
        if said:
            told = Message(role="assistant", content=said)
            await self._history.remember(turn.but(messages=(told,)), [])
        await self._state.delete(_held(turn))
        await self._state.delete(_index(turn))
        return held

    async def _held(self, turn: Turn) -> Held | None:
        found = await self._state.get(_held(turn))
        return Held.model_validate(found[0]) if found else None


def _turn(tenant: str, channel: str, conversation: str) -> Turn:
    """A turn of the conversation, to find what is kept of it."""
    return Turn(
        tenant=tenant, channel=channel, conversation_id=conversation, turn_id="-", messages=()
    )


def _held(turn: Turn) -> str:
    return conversation_of(turn, "human")


def _index(turn: Turn) -> str:
    return key("humans", turn.tenant, turn.channel, turn.conversation_id)
