"""Asking a database server that may be restarting just now."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from lmos.model import errors

T = TypeVar("T")

#: Seconds for which a server that is away is asked again before the caller is told.
PATIENCE = 3.0
#: Seconds until a connection attempt, and until a command, counts as failed.
CONNECT_TIMEOUT, COMMAND_TIMEOUT = 2.0, 5.0
#: Connections that one process holds at most.
CONNECTIONS = 16
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5


async def reached(
    call: Callable[[], Awaitable[T]],
    away: Callable[[Exception], bool],
    where: str,
    patience: float,
) -> T:
    """What the call gives. It is repeated, with growing pauses, while `away` says of its error that
    the server is not there; `StateUnavailable` once that has lasted for `patience` seconds. The
    call may have been carried out although its answer was lost, so it must bear repetition.
    """
    ends = time.monotonic() + patience
    pause = _FIRST_PAUSE
    while True:
        try:
            return await call()
        except Exception as error:
            if not away(error):
                raise
            if time.monotonic() + pause > ends:
                raise errors.StateUnavailable(
                    f"{where} does not answer: {error or type(error).__name__}; "
                    "is it running there, and reachable?"
                ) from error
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def refused(where: str, error: Exception) -> errors.StateUnavailable:
    """The error for a server that answers, and will not do what it is asked."""
    return errors.StateUnavailable(f"{where} refuses: {error}")


def shown(url: str) -> str:
    """The address to name in messages: without user, password and options."""
    if "://" not in url:
        return url
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"
