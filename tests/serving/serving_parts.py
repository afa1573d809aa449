"""A real server around agents, and small agents with a scripted model."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from lmos import Agent, Context
from lmos.arc.serving import Settings, app
from lmos.llm import Call, ScriptedModel

KEY = "correct-horse-battery-staple"


@asynccontextmanager
async def served(
    agents: Agent[Any, Any] | Sequence[Agent[Any, Any]], settings: Settings | None = None
) -> AsyncGenerator[str, None]:
    """The base URL of the agents' application."""
    async with serving_app(app(agents, settings)) as url:
        yield url


@asynccontextmanager
async def serving_app(made: ASGIApp) -> AsyncGenerator[str, None]:
    """The base URL of the application, served with its lifespan on loopback."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(made, log_level="critical", lifespan="on")
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup([listener])
    assert not server.should_exit, "the application did not start"
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        for accepting in server.servers:
            accepting.close()
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        await asyncio.gather(*server.server_state.tasks, return_exceptions=True)
        await server.lifespan.shutdown()


def talker(name: str = "talker", *replies: Any, **more: Any) -> Agent[Any, Any]:
    """Says what the script says."""
    script = ScriptedModel(*(replies or ("Hello there, friend.",)))
    return Agent(name=name, version="1.2.0", description="Talks.", model=script.model, **more)


def payer() -> Agent[Any, Any]:
    """Wants to pay, which needs approval; `paid` of the agent tells what was paid."""
    script = ScriptedModel(Call("pay", {"amount": 12}), "Paid.")
    agent: Agent[Any, Any] = Agent(name="payer", model=script.model)
    paid: list[int] = []

    @agent.tool(sensitive=True)
    def pay(ctx: Context, amount: int) -> str:
        """Pays."""
        paid.append(amount)
        return "ok"

    agent.paid = paid  # type: ignore[attr-defined]
    return agent


class Knowing:
    """An agent that tells what it knows of the caller."""

    def __init__(self, name: str = "knowing") -> None:
        self.contexts: list[Context] = []
        self.agent: Agent[Any, Any] = Agent(name=name, model=ScriptedModel("ok").model)

        @self.agent.input_filter
        def keep(ctx: Context, text: str) -> str:
            self.contexts.append(ctx)
            return text
