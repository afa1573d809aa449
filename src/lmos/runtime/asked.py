"""Asking the runtime from Python, as one asks an agent."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Self

from lmos.model import Message, Responder, Turn, TurnEvent, User, errors
from lmos.protocols.answering import Outcome, collect


class Asked:
    """What answers turns and can be asked from Python; it is an agent to other agents, too."""

    name: str

    @property
    def responder(self) -> Responder:
        """How it is asked."""
        return self.respond

    def respond(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        """Answers a turn with events."""
        raise NotImplementedError

    async def start(self) -> None:
        """Opens what answering needs."""

    async def stop(self) -> None:
        """Releases it."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def run(self, request: str | Turn, **options: Any) -> Outcome:
        """The answer to a request, once it is whole; what fails is raised. Options are those of
        `stream`.
        """
        async with aclosing(self.stream(request, **options)) as events:
            return await collect(events)

    def run_sync(self, request: str | Turn, **options: Any) -> Outcome:
        """`run` for programs without an event loop: everything is started before and stopped
        afterwards. `InvalidInput` where there is one.
        """

        async def once() -> Outcome:
            async with self:
                return await self.run(request, **options)

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(once())
        raise errors.InvalidInput(
            "run_sync starts an event loop, and here one runs already; await run(...)"
        )

    def stream(
        self,
        request: str | Turn,
        *,
        conversation: str = "",
        user: str | User = "",
        tenant: str = "",
        channel: str = "",
        agent: str | None = None,
        system_context: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[TurnEvent, None]:
        """The events of the answer as they come. Requests of one conversation belong together; one
        without it begins a new one. `agent` is asked and no other.
        """
        if isinstance(request, Turn):
            return self.respond(request)
        return self.respond(
            Turn(
                tenant=tenant,
                channel=channel,
                conversation_id=conversation or uuid.uuid4().hex,
                turn_id=uuid.uuid4().hex,
                user=user if isinstance(user, User) else User(id=user),
                messages=(Message(role="user", content=request),),
                system_context=dict(system_context or {}),
                agent=agent,
            )
        )
