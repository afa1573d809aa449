"""Where shared values are: all of a scope under one key, so that a turn reads few.

conversation/TENANT/CHANNEL/CONVERSATION/shared
user/TENANT/USER/shared
tenant/TENANT/shared
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import orjson

from lmos.model import SharedScope, SharedValue, State, Turn, errors
from lmos.model.shared import shared_with
from lmos.state import get_all, note_part, update
from lmos.state.keys import conversation_of, key, user_of

#: Values of one scope, and bytes of them all together.
MAX_VALUES, MAX_SIZE = 64, 64 * 1024
DAY = 24 * 3600.0
#: Seconds that a value is kept where nobody says; a tenant's until it is deleted.
TTL: dict[SharedScope, float | None] = {
    "conversation": 30 * DAY,
    "user": 90 * DAY,
    "tenant": None,
}

Values = tuple[SharedValue, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """The values of one conversation, user or tenant."""

    scope: SharedScope
    key: str
    what: str

    @classmethod
    def of_conversation(cls, turn: Turn) -> Self:
        """Those of the turn's conversation."""
        what = f"conversation {turn.conversation_id}"
        return cls("conversation", conversation_of(turn, "shared"), what)

    @classmethod
    def of_user(cls, tenant: str, user: str) -> Self:
        """Those of a user; `InvalidInput` when the user is not known."""
        if not user:
            raise errors.InvalidInput(
                "what is shared for a user needs to know who the user is, and this turn does not "
                "say; use the scope conversation, or have the application send the user's id"
            )
        return cls("user", user_of(tenant, user, "shared"), f"user {user}")

    @classmethod
    def of_tenant(cls, tenant: str) -> Self:
        """Those of a whole tenant."""
        return cls("tenant", key("tenant", tenant, "shared"), f"tenant {tenant}")


def places_of(turn: Turn) -> list[Place]:
    """From wide to narrow, what concerns a turn."""
    user = [Place.of_user(turn.tenant, turn.user.id)] if turn.user.id else []
    return [Place.of_tenant(turn.tenant), *user, Place.of_conversation(turn)]


def added(values: Values, new: SharedValue, what: str) -> Values:
    """The values with the new one, or without it where it is None; those that have expired go.
    `TooLarge` when there is no room.
    """
    now = datetime.now(UTC)
    new = new.but(expires=new.expires or _default(new, now))
    found = shared_with(_alive(values, now), new)
    if new.value is None:
        return found
    size = sum(len(orjson.dumps(value.wire())) for value in found)
    if len(found) > MAX_VALUES or size > MAX_SIZE:
        raise errors.TooLarge(
            f"{new.name!r} cannot be shared: {what} has {len(found) - 1} values, and there is room "
            f"for {MAX_VALUES} in {MAX_SIZE} bytes; take some back",
            limit=MAX_SIZE,
        )
    return found


class SharedMemory:
    """Shared values in a `State`. Tenants, users and conversations are kept apart."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def read(self, turn: Turn) -> Values:
        """All that is shared in the turn, whoever may read it."""
        found = await get_all(self._state, [place.key for place in places_of(turn)])
        return tuple(value for kept in found if kept for value in _values(kept[0]))

    async def at(self, place: Place) -> Values:
        """The values that are there."""
        return _read(await self._state.get(place.key))

    async def change(self, place: Place, new: Sequence[SharedValue]) -> Values:
        """Adds values, or takes back those that are None, with nobody else's change lost; gives all
        that are there now. `TooLarge` when there is no room, and then nothing is changed.
        """

        def changed(values: Values) -> Values:
            for value in new:
                values = added(values, value, place.what)
            return values

        return await self._update(place, changed)

    async def remove(self, place: Place, name: str, agent: str | None = None) -> bool:
        """Deletes the values of the name, of one writer or of all; whether there were any."""

        def mine(value: SharedValue) -> bool:
            return value.name == name and agent in (None, value.agent)

        if not any(mine(value) for value in await self.at(place)):
            return False
        await self._update(place, lambda values: tuple(v for v in values if not mine(v)))
        return True

    async def keep(self, turn: Turn, new: Sequence[SharedValue]) -> None:
        """Keeps what was shared in the turn. Whose conversation it is, is noted first, so that the
        values go when the user is forgotten.
        """
        places = {place.scope: place for place in places_of(turn)}
        for scope, place in places.items():
            if mine := [value for value in new if value.scope == scope]:
                if scope == "conversation":
                    await note_part(self._state, turn, TTL[scope])
                await self.change(place, mine)

    async def _update(self, place: Place, change: Callable[[Values], Values]) -> Values:
        def changed(found: Any) -> tuple[Any, float | None]:
            values = change(_values(found))
            return [value.wire() for value in values], _lasting(values)

        kept = await update(self._state, place.key, changed, f"the shared memory of {place.what}")
        return _values(kept)


def _read(found: tuple[Any, int] | None) -> Values:
    return _values(found[0]) if found else ()


def _values(data: Any) -> Values:
    values = (SharedValue.model_validate(value) for value in data or ())
    return _alive(values, datetime.now(UTC))


def _alive(values: Iterable[SharedValue], now: datetime) -> Values:
    return tuple(v for v in values if v.expires is None or v.expires > now)


def _default(value: SharedValue, now: datetime) -> datetime | None:
    seconds = TTL[value.scope]
    return None if seconds is None else now + timedelta(seconds=seconds)


def _lasting(values: Values) -> float | None:
    """Seconds until the last of the values expires, None where one does not."""
    if not values:
        return 1.0
    moments = [value.expires for value in values]
    if None in moments:
        return None
    latest = max(moment for moment in moments if moment)
    return max(1.0, (latest - datetime.now(UTC)).total_seconds())
