"""Where records are: below their conversations, with an index of each tenant's turns.

    conversation/TENANT/CHANNEL/CONVERSATION/decisions/STAMP   a record
    activity/TENANT/STAMP-RANDOM                               some turns that lead to records
    channels/TENANT/CHANNEL                                    the tenant has had turns there
    deleted/TENANT/CHANNEL/CONVERSATION                        when that was deleted, for a while

A record is written once; only feedback is added later. Stamps below `activity` count down, so that
a scan meets the newest turns first. An entry whose record is gone leads nowhere and does no harm.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from lmos.model import DecisionRecord, Feedback, State, errors
from lmos.runtime.decisions.settings import LogSettings
from lmos.runtime.decisions.trail import Trail
from lmos.state import update
from lmos.state.keys import key, unescaped

_LAST = 10**17
_SALT = "decisions/salt"
#: Seconds for which it is known that a conversation was deleted, so that what is still on its way
#: to the log goes as well.
DELETED_TTL = 600.0


@dataclass(frozen=True, slots=True)
class Pointer:
    """A turn in a tenant's index. `cursor` is where the list goes on after it."""

    tenant: str
    channel: str
    conversation: str
    stamp: str
    turn: str
    cursor: str = ""

    @property
    def key(self) -> str:
        """Where its record is."""
        return record_key(self.tenant, self.channel, self.conversation, self.stamp)


def record_key(tenant: str, channel: str, conversation: str, stamp: str) -> str:
    """Where a record is, or below what a conversation's are where the stamp is empty."""
    return key("conversation", tenant, channel, conversation, "decisions", stamp)


class Log:
    """Reads and writes records in a `State`. Nothing of a tenant is reached from another's name."""

    def __init__(self, state: State, settings: LogSettings | None = None) -> None:
        self.settings = settings or LogSettings()
        self._state = state
        self._salt = b""
        self._channels: set[tuple[str, str]] = set()

    # --- writing ----------------------------------------------------------------------------------

    async def index(self, name: str, trails: Sequence[Trail]) -> None:
        """Notes the turns, all of one tenant, in its index; again under the same name does no harm.
        `name` is unique among those of this microsecond.
        """
        newest = max(trails, key=lambda trail: trail.stamp)
        for trail in trails:
            await self._note_channel(trail.turn.tenant, trail.turn.channel)
        told = [
            [t.turn.channel, t.turn.conversation_id, t.stamp, t.turn.turn_id]
            for t in sorted(trails, key=lambda trail: trail.stamp, reverse=True)
        ]
        place = f"{_LAST - int(newest.stamp):017d}-{name}"
        await self._state.put(
            key("activity", newest.turn.tenant, place), told, ttl=self.settings.ttl
        )

    async def append(self, trail: Trail) -> None:
        """Writes the turn's record."""
        if trail.inputs == "off":
            return
        turn = trail.turn
        record = trail.wire(await self.hash_of(turn.tenant, turn.text))
        full = record_key(turn.tenant, turn.channel, turn.conversation_id, trail.stamp)
        await self._state.put(full, record, ttl=self.settings.ttl)

    async def withdraw(self, trails: Sequence[Trail]) -> None:
        """Deletes those records of the turns, all of one tenant, whose conversations were deleted
        while they were on their way.
        """
        prefix = key("deleted", trails[0].turn.tenant, "")
        deleted = {full: at async for full, at in self._state.scan(prefix)}
        for trail in trails if deleted else ():
            turn = trail.turn
            where = (turn.tenant, turn.channel, turn.conversation_id)
            if trail.at.timestamp() <= deleted.get(key("deleted", *where), 0.0):
                await self._state.delete(record_key(*where, trail.stamp))

    async def hash_of(self, tenant: str, text: str) -> str:
        """By what the same words of the tenant's users are known again, and nobody else's."""
        if not self._salt:
            self._salt = await self._shared_salt()
        words = f"{len(tenant)}:{tenant}{text.strip()}".encode("utf-8", "surrogatepass")
        return hmac.new(self._salt, words, hashlib.sha256).hexdigest()[:32]

    async def judge(self, record: tuple[str, DecisionRecord], feedback: Feedback) -> DecisionRecord:
        """Puts the feedback into the record, in place of any before. `NotFound` if it is gone."""
        full, _ = record

        def judged(value: Any) -> tuple[Any, float] | None:
            return ({**value, "feedback": feedback.wire()}, self.settings.ttl) if value else None

        kept = await update(self._state, full, judged, "the turn's record")
        if kept is None:
            raise errors.NotFound("the turn's record is gone")
        return DecisionRecord.model_validate(kept)

    async def note_deleted(self, tenant: str, channel: str, conversation: str) -> None:
        """Records of the conversation that are still to be written will not be kept."""
        place = key("deleted", tenant, channel, conversation)
        await self._state.put(place, time.time(), ttl=DELETED_TTL)

    # --- reading ----------------------------------------------------------------------------------

    async def turns(self, tenant: str, cursor: str = "") -> AsyncIterator[Pointer]:
        """The tenant's turns, newest first, after the cursor."""
        prefix = key("activity", tenant, "")
        place = _Cursor.read(cursor)
        # the entry that the cursor stands in is read again: without its end it sorts before it
        after = prefix + place.entry[:-1] if place.entry else ""
        async for full, told in self._state.scan(prefix, after):
            entry = full.removeprefix(prefix)
            if entry < place.entry:
                continue
            first = place.number if entry == place.entry else 0
            for number, (channel, conversation, stamp, turn) in enumerate(told):
                if number >= first:
                    onward = f"{entry}.{number + 1}"
                    yield Pointer(tenant, channel, conversation, stamp, turn, onward)

    async def record(self, pointer: Pointer) -> DecisionRecord | None:
        """The turn's record, if it was kept and still is."""
        found = await self._state.get(pointer.key)
        return DecisionRecord.model_validate(found[0]) if found else None

    async def of_conversation(
        self, tenant: str, channel: str, conversation: str
    ) -> list[tuple[str, DecisionRecord]]:
        """The conversation's records with where they are, oldest first."""
        scan = self._state.scan(record_key(tenant, channel, conversation, ""))
        return [(full, DecisionRecord.model_validate(value)) async for full, value in scan]

    async def find(
        self, tenant: str, conversation: str, turn: str, channels: Iterable[str]
    ) -> tuple[str, DecisionRecord]:
        """The newest record of that turn on any of the channels, and where it is. `NotFound` tells
        which turns of the conversation there are.
        """
        found = [
            kept
            for channel in channels
            for kept in await self.of_conversation(tenant, channel, conversation)
        ]
        mine = [kept for kept in found if kept[1].turn_id == turn]
        if not mine:
            there = ", ".join(record.turn_id for _, record in found[-5:])
            told = f"its last turns are {there}" if there else "nothing is kept of it"
            raise errors.NotFound(
                f"there is no record of turn {turn!r} in conversation {conversation!r}; {told}"
            )
        return max(mine, key=lambda kept: kept[1].at)

    async def channels(self, tenant: str) -> list[str]:
        """The channels on which the tenant has had turns."""
        prefix = key("channels", tenant, "")
        return [unescaped(full.removeprefix(prefix)) async for full, _ in self._state.scan(prefix)]

    # --- inside -----------------------------------------------------------------------------------

    async def _note_channel(self, tenant: str, channel: str) -> None:
        if (tenant, channel) not in self._channels:
            await self._state.put(key("channels", tenant, channel), channel)
            self._channels.add((tenant, channel))

    async def _shared_salt(self) -> bytes:
        """The platform's key for hashes, made by whoever is first."""
        found = await self._state.get(_SALT)
        if found is None:
            try:
                salt = secrets.token_hex(32)
                await self._state.put(_SALT, salt, version=0)
                return bytes.fromhex(salt)
            except errors.Conflict:
                found = await self._state.get(_SALT)
        if not found:
            raise errors.StateUnavailable("the key for hashes was deleted while it was read")
        return bytes.fromhex(found[0])


@dataclass(frozen=True, slots=True)
class _Cursor:
    """A place in the index: an entry, and how many of its turns were given already."""

    entry: str = ""
    number: int = 0

    @classmethod
    def read(cls, text: str) -> Self:
        entry, dot, number = text.partition(".")
        if not text:
            return cls()
        if not dot or not number.isdecimal() or len(text) > 100:
            raise errors.InvalidInput(f"{text[:100]!r} is no place in a list; use `next` as given")
        return cls(entry, int(number))
