"""Asking whatever answers turns from Python: the turn that a request is, and what came of it."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

from lmos.arc.result import Result, collected, request_text
from lmos.model import Message, Responder, Turn, TurnEvent, User, errors

T = TypeVar("T")


def turn_of(
    request: Any,
    *,
    conversation: str = "",
    user: str | User = "",
    tenant: str = "",
    channel: str = "",
    system_context: Mapping[str, str] | None = None,
) -> Turn:
    """The turn that a request is; a turn as it is."""
    if isinstance(request, Turn):
        return request
    return Turn(
        tenant=tenant,
        channel=channel,
        conversation_id=conversation or uuid.uuid4().hex,
        turn_id=uuid.uuid4().hex,
        user=user if isinstance(user, User) else User(id=user),
        messages=(Message(role="user", content=request_text(request)),),
        system_context=dict(system_context or {}),
    )


def at_once(what: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives, where no event loop runs. `InvalidInput` where one does."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(what)
    what.close()
    raise errors.InvalidInput(
        "run_sync starts an event loop, and here one runs already; await run(...)"
    )


class Asked:
    """What answers turns and can be asked from Python; `options` are those of `Agent.run`."""

    @property
    def responder(self) -> Responder:
        """How it is asked."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Releases what answering opened."""

    async def run(self, request: Any, **options: Any) -> Result[str]:
        """The answer to a request, once it is whole. What fails is raised."""
        async with aclosing(self.stream(request, **options)) as events:
            return collected([event async for event in events])

    def run_sync(self, request: Any, **options: Any) -> Result[str]:
        """`run` for programs without an event loop. `InvalidInput` where there is one."""

        async def once() -> Result[str]:
            try:
                return await self.run(request, **options)
            finally:
                await self.stop()

        return at_once(once())

    def stream(self, request: Any, **options: Any) -> AsyncGenerator[TurnEvent, None]:
        """The events of the answer as they come."""
        return self.responder(turn_of(request, **options))
