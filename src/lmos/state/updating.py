"""Changing a value that others may be changing too."""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

from lmos.model import State, errors

#: Seconds after which a value that others keep changing is given up on.
GIVE_UP = 10.0
_LONGEST_PAUSE = 0.02

#: Makes of the value as it is (None: absent) what it is to be and its seconds to live, or None to
#: leave it. May be called several times.
Change = Callable[[Any], tuple[Any, float | None] | None]


class Rivals:
    """Others who change the same value and were quicker. `what` names it in the error."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._ends = time.monotonic() + GIVE_UP

    async def let_by(self) -> None:
        """Waits a moment before the next try; `Conflict` when the others are always quicker."""
        if time.monotonic() > self._ends:
            raise errors.Conflict(f"{self._what} changes too fast to follow; try again")
        # rivals that keep in step would collide again
        await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE))


async def update(
    state: State, key: str, change: Change, what: str, seen: tuple[Any, int] | None = None
) -> Any:
    """Reads the value, changes it and stores it if nobody else has meanwhile; else once more.
    Gives the value stored, None if it was left. `seen`, a value and its version as read before,
    saves reading it. `what` is the value's name in the `Conflict` when others are always quicker.
    """
    rivals = Rivals(what)
    found = seen or await state.get(key)
    while True:
        new = change(found[0] if found else None)
        if new is None:
            return None
        value, ttl = new
        try:
            await state.put(key, value, version=found[1] if found else 0, ttl=ttl)
        except errors.Conflict:
            await rivals.let_by()
            found = await state.get(key)
            continue
        return value
