"""Which conversations are a user's, and forgetting a user.

A conversation that a known user takes part in is noted below the user. The note is there before
anything of the conversation is stored, is looked for again afterwards, and outlives what was
stored; forgetting deletes the notes first and the conversations then. So whatever order two
processes come in, nothing of a conversation is kept without a note that leads to it.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from time import time
from typing import Any

from lmos.model import State, Turn, errors
from lmos.state.keys import key, user_of
from lmos.state.updating import update

#: Seconds by which the clocks of two machines may differ.
_SLACK = 3600.0
_FOR_GOOD = "for good"


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How much was deleted: conversations, the histories kept of them, and remembered values."""

    conversations: int = 0
    histories: int = 0
    values: int = 0


async def note_part(state: State, turn: Turn, ttl: float | None) -> None:
    """Notes that the turn's user, if known, takes part in its conversation, of which something is
    kept for `ttl` seconds (None: for good). Writes only where that is not noted yet.
    """
    if not turn.user.id:
        return

    def longer(until: Any) -> tuple[Any, float | None] | None:
        now = time()
        if until == _FOR_GOOD or (ttl is not None and until and until >= now + ttl + _SLACK):
            return None
        # twice as long as needed, so that it need not be written again with every turn
        return (_FOR_GOOD, None) if ttl is None else (now + 2 * ttl + _SLACK, 2 * ttl + _SLACK)

    parts = ("conversations", turn.channel, turn.conversation_id)
    await update(state, user_of(turn.tenant, turn.user.id, *parts), longer, "the user's index")


async def forget_user(state: State, tenant: str, user: str) -> Forgotten:
    """Deletes all that is kept of a user of the tenant: what agents remember of the user, and the
    conversations that the user took part in, with their histories and what agents remember of
    them. Broken off, it is finished by the next call. A turn that is running may still be
    remembered afterwards, alone.
    """
    if not user:
        raise errors.InvalidInput("whom to forget? The user's id is empty")
    mine = user_of(tenant, user, "conversations", "")
    journal = key("forgetting", tenant, user)
    unfinished = await state.get(journal)
    conversations = set(unfinished[0] if unfinished else ())
    conversations.update([name.removeprefix(mine) async for name, _ in state.scan(mine)])
    if conversations:
        await state.put(journal, sorted(conversations))
    histories, values = 0, 0
    async for name in _deleted(state, user_of(tenant, user, "")):
        values += not name.startswith(mine)
    for conversation in sorted(conversations):
        prefix = f"{key('conversation', tenant)}/{conversation}/"
        async for name in _deleted(state, prefix):
            is_history = name.startswith(f"{prefix}history/")
            histories += is_history
            values += not is_history
    await state.delete(journal)
    return Forgotten(len(conversations), histories, values)


async def _deleted(state: State, prefix: str) -> AsyncIterator[str]:
    """Deletes the keys below the prefix, and gives those that were there."""
    async for name, _ in state.scan(prefix):
        if await state.delete(name):
            yield name
