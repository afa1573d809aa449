"""The one way in for turns, whichever protocol brings them."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Protocol

from lmos.model import Responder, Turn, TurnEvent
from lmos.model.errors import Forbidden
from lmos.protocols.auth import CALLER, Caller


class Counts(Protocol):
    """Counts turns."""

    async def take(self, tenant: str, user: str) -> None:
        """Counts one, or raises `Overloaded`."""
        ...


class Entry:
    """Lets turns in to a responder: those of the caller's tenant, with what is verified about the
    user, as many as `rates` allows.
    """

    def __init__(self, responder: Responder, rates: Counts | None = None) -> None:
        self._responder = responder
        self._rates = rates

    def respond(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        """Answers the turn; a `Responder`. `Forbidden` for another tenant, `Overloaded` for too
        many.
        """
        return self._counted(turn) if self._rates else self._responder(placed(turn))

    async def _counted(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        async with aclosing(self._responder(await self.admitted(turn))) as events:
            async for event in events:
                yield event

    async def admitted(self, turn: Turn) -> Turn:
        """The turn as it is answered, counted against the limits."""
        turn = placed(turn)
        if self._rates is not None:
            await self._rates.take(turn.tenant, turn.user.id)
        return turn


def placed(turn: Turn) -> Turn:
    """The turn with what is verified about the caller, and nothing that only claims to be."""
    caller = CALLER.get()
    if caller is None:
        return _known(turn, {})
    if not caller.reaches(turn.tenant):
        raise Forbidden("these credentials are not for this tenant")
    return _known(turn, dict(caller.claims or {}), caller)


def _known(turn: Turn, claims: dict[str, Any], caller: Caller | None = None) -> Turn:
    user = turn.user.id if caller is None else caller.user_id or turn.user.id
    if claims == turn.user.claims and user == turn.user.id and not turn.authorization:
        return turn
    return turn.but(user=turn.user.but(id=user, claims=claims), authorization="")
