"""Offers to serve over MCP, and the official client to ask them with."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from protocol_servers import app_of, serving

from lmos.model import Capability, Description, Message, Responder
from lmos.model.errors import Conflict
from lmos.protocols.mcp import (
    Annotations,
    Argument,
    Caller,
    Face,
    Offer,
    Prompt,
    Resource,
    Result,
    Tool,
    agent_tool,
)

BILLING = Description(
    name="billing agent",
    version="1.2.0",
    description="Bills and payments.",
    capabilities=(
        Capability(
            name="view-bill",
            version="1.0.0",
            description="Shows a bill.",
            examples=("show me my bill",),
        ),
    ),
)
ASK = "ask_billing_agent"


async def _add(caller: Caller, arguments: Mapping[str, Any]) -> Result:
    total = arguments["a"] + arguments["b"]
    return Result((str(total),), {"sum": total})


async def _fail(caller: Caller, arguments: Mapping[str, Any]) -> Result:
    raise Conflict("somebody else has the bill", bill="7")


async def _break(caller: Caller, arguments: Mapping[str, Any]) -> Result:
    raise ZeroDivisionError("secret detail")


async def _who(caller: Caller, arguments: Mapping[str, Any]) -> Result:
    return Result((caller.user.id if caller.user else "nobody",))


ADD = Tool(
    "add",
    "Adds two numbers.",
    {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    },
    _add,
    output={"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]},
    annotations=Annotations(title="Adding", read_only=True),
    meta={"version": "2.0.0"},
)
NOTHING: dict[str, Any] = {"type": "object", "properties": {}}


class Slow:
    """A tool that never ends; tells when it began and when it was cancelled."""

    def __init__(self) -> None:
        self.began, self.cancelled = asyncio.Event(), asyncio.Event()
        self.tool = Tool("slow", "Takes for ever.", NOTHING, self._call)

    async def _call(self, caller: Caller, arguments: Mapping[str, Any]) -> Result:
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        return Result()


async def _greet(arguments: Mapping[str, str]) -> Sequence[Message]:
    return [Message(role="user", content=f"Greet {arguments['name']}.")]


async def _bill(uri: str, values: Mapping[str, str]) -> str:
    return f"bill {values['id']}"


async def _logo(uri: str, values: Mapping[str, str]) -> bytes:
    return b"\x89PNG"


def offer_of(*tools: Tool) -> Offer:
    return Offer(
        name="billing",
        version="1.2.0",
        instructions="Ask for bills.",
        tools=tools,
        prompts=[Prompt("greet", "A greeting.", _greet, [Argument("name", "Whom.", True)])],
        resources=[
            Resource("bill://{id}", "bill", "A bill.", _bill),
            Resource("logo://acme", "logo", "The logo.", _logo, "image/png"),
        ],
    )


TOOLS = (
    ADD,
    Tool("fail", "Fails.", NOTHING, _fail),
    Tool("break", "Breaks.", NOTHING, _break),
    Tool("who", "Tells who asks.", NOTHING, _who),
)
OFFER = offer_of(*TOOLS)


def agent(responder: Responder) -> Offer:
    return offer_of(agent_tool(BILLING, responder))


@asynccontextmanager
async def served(face: Face, port: int = 0) -> AsyncGenerator[str, None]:
    """The URL of its endpoint."""
    async with face.running(), serving(app_of(face.routes()), port) as url:
        yield f"{url}/mcp"


@asynccontextmanager
async def client_of(
    url: str, mode: str = "auto", headers: dict[str, str] | None = None, **more: Any
) -> AsyncGenerator[Client, None]:
    """The official client."""
    async with create_mcp_http_client(headers) as http_client:
        transport = streamable_http_client(url, http_client=http_client)
        async with Client(transport, mode=mode, cache=None, **more) as client:
            yield client
