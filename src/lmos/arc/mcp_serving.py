"""Agents over MCP: each as a tool that takes what a user says, and each of their tools.

Use cases are prompts, so that a person can pick one to begin with. A tool that needs its caller's
approval is not offered by itself: the agent asks for it.
"""

import asyncio
import signal
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

import orjson

from lmos.arc.adl import UseCase
from lmos.arc.running import Told
from lmos.arc.team import Party
from lmos.arc.tools import Tool, as_text
from lmos.model import Message, Responder, Turn, TurnEvent, User
from lmos.protocols import connecting, loop, mcp
from lmos.protocols.mcp import codec

if TYPE_CHECKING:
    from lmos.arc.agent import Agent
    from lmos.arc.serving.settings import AnyAgent


def face(
    *agents: "AnyAgent",
    responders: Mapping[str, Responder] | None = None,
    **options: Any,
) -> mcp.Face:
    """The agents at `/mcp`, asked through the responders where those are given; `options` are
    `lmos.protocols.mcp.Face`'s.
    """
    return mcp.Face(lambda: offer(*agents, responders=responders), **options)


def stdio(*agents: "AnyAgent") -> None:
    """Serves the agents on standard streams until the input ends, SIGINT or SIGTERM."""
    with suppress(KeyboardInterrupt, asyncio.CancelledError):
        loop.run(_stdio(agents))


async def _stdio(agents: "tuple[AnyAgent, ...]") -> None:
    serving = asyncio.current_task()
    assert serving is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
    for agent in agents:
        await agent.start()
    try:
        await mcp.stdio(lambda: offer(*agents))
    finally:
        await connecting.disconnect()
        for agent in agents:
            await agent.stop()


def offer(*agents: "AnyAgent", responders: Mapping[str, Responder] | None = None) -> mcp.Offer:
    """What the agents offer to an MCP host. A tool of several agents' is prefixed with the name of
    its own.
    """
    names = [name for agent in agents for name in agent.tools]
    ask = responders or {agent.name: agent.respond for agent in agents}
    tools = [mcp.agent_tool(agent.describe(), ask[agent.name]) for agent in agents]
    for agent in agents:
        if isinstance(agent, Party):
            continue  # its tools are its agents' alone
        for tool in agent.tools.values():
            if not tool.sensitive:
                clashes = names.count(tool.name) > 1
                name = f"{agent.name}_{tool.name}" if clashes else tool.name
                tools.append(_offered(agent, tool, codec.safe_name(name)))
    single = agents[0] if len(agents) == 1 else None
    return mcp.Offer(
        name=single.name if single else "lmos",
        version=single.version if single else "",
        instructions="\n".join(f"{agent.name}: {agent.description}" for agent in agents),
        tools=tools,
        prompts=[_prompt(case) for agent in agents for case in agent.use_cases if case.examples],
    )


def _offered(agent: "Agent[Any, Any]", tool: Tool, name: str) -> mcp.Tool:
    async def call(caller: mcp.Caller, arguments: Mapping[str, Any]) -> mcp.Result:
        told, results = Told(), []

        async def run() -> AsyncGenerator[TurnEvent, None]:
            ctx = agent.engine.context(_turn(caller.user), agent.dependencies, told)
            results.append(await tool.call(ctx, arguments))
            return
            yield

        said = 0
        async with aclosing(told.between(run())) as events:
            async for event in events:
                if text := codec.told_by(event):
                    said += 1
                    await caller.progress(said, message=text)
        return _result(results[0])

    return mcp.Tool(
        name=name,
        description=tool.description,
        schema=tool.schema,
        call=call,
        meta={
            "agent": agent.name,
            "version": agent.version,
            **getattr(tool, "metadata", {}),
        },
    )


def _turn(user: User | None) -> Turn:
    """A turn in which nobody says anything: a tool is called by itself."""
    return Turn(
        conversation_id=str(uuid.uuid4()),
        turn_id=str(uuid.uuid4()),
        user=user or User(),
        messages=(Message(role="user", content=""),),
    )


def _result(value: Any) -> mcp.Result:
    text = as_text(value)
    data = None if isinstance(value, str) else orjson.loads(text)
    return mcp.Result((text,), data if isinstance(data, dict) else None)


def _prompt(case: UseCase) -> mcp.Prompt:
    async def get(arguments: Mapping[str, str]) -> list[Message]:
        return [Message(role="user", content=arguments.get("input") or case.examples[0])]

    words = mcp.Argument("input", f"What to say instead of: {case.examples[0]}")
    return mcp.Prompt(case.id, case.description, get, [words])
