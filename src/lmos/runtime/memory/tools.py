"""A tenant's shared values as an MCP server's tools."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from pydantic import Field

from lmos.model import Share, Strict
from lmos.model.base import Tuple
from lmos.protocols import limits
from lmos.protocols.mcp import Annotations, Caller, Offer, Result, Tool
from lmos.runtime.memory.access import About, Access, shown

#: Arguments as a tool is called with them, and what comes of it.
Run = Callable[[Any, About, str], Awaitable[Any]]

_INSTRUCTIONS = (
    "Values that the agents of a tenant share about a conversation or a user. Say which "
    "conversation, or which user; with neither it is the tenant's own. Say as_agent to read and "
    "write as that agent."
)


class Whose(Strict):
    """What every tool takes."""

    conversation: str = Field(default="", max_length=256, description="The conversation's id.")
    user: str = Field(default="", max_length=256, description="The user's id.")
    channel: str = Field(
        default="", max_length=256, description="The conversation's channel, if it is a new one."
    )
    as_agent: str = Field(default="", max_length=256, description="The agent that you are.")


class Named(Whose):
    """... of one value."""

    name: str = Field(description="The value's name.", max_length=256)


class Writing(Named):
    """... to share one."""

    value: Any = Field(description="JSON data.")
    readers: Tuple[str] = Field(
        default=(), description="Agents or capabilities that may read it; none for all."
    )
    ttl: float | None = Field(default=None, description="Seconds that it is kept.")


def offer(access: Access, tenant: str) -> Offer:
    """What the server offers to those of the tenant."""

    async def list_(given: Whose, about: About, agent: str) -> Any:
        return {"values": [shown(value) for value in await access.list(about, agent)]}

    async def read(given: Named, about: About, agent: str) -> Any:
        return shown(await access.get(about, given.name, agent))

    async def share(given: Writing, about: About, agent: str) -> Any:
        new = Share(name=given.name, value=given.value, readers=given.readers, ttl=given.ttl)
        return shown(await access.put(about, new, agent))

    async def take_back(given: Named, about: About, agent: str) -> Any:
        await access.remove(about, given.name, agent)
        return {"deleted": given.name}

    reads, writes = Annotations(read_only=True), Annotations(read_only=False, idempotent=True)
    return Offer(
        name=f"lmos-memory-{tenant}",
        version="1",
        instructions=_INSTRUCTIONS,
        tools=[
            _tool("list_shared", "All values, with who wrote them.", Whose, list_, tenant, reads),
            _tool("read_shared", "The newest value of a name.", Named, read, tenant, reads),
            _tool("share", "Shares a value under a name.", Writing, share, tenant, writes),
            _tool("take_back", "Deletes the values of a name.", Named, take_back, tenant, writes),
        ],
    )


def _tool(
    name: str,
    description: str,
    arguments: type[Whose],
    run: Run,
    tenant: str,
    annotations: Annotations,
) -> Tool:
    async def call(caller: Caller, given: Mapping[str, Any]) -> Result:
        found = limits.parsed(arguments, dict(given))
        about = About(tenant, found.conversation, found.user, found.channel)
        told = await run(found, about, found.as_agent)
        return Result((orjson.dumps(told).decode(),), told)

    schema = arguments.model_json_schema(by_alias=False)
    return Tool(
        name=name, description=description, schema=schema, call=call, annotations=annotations
    )
