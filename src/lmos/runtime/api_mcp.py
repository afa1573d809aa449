"""Channels as MCP servers, for hosts whose models may ask a platform's agents:

/mcp/{tenant}/{channel}     the tool `ask`, whom the channel finds somebody for, and a tool for each
                            of its agents, `ask_<agent>`
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from starlette.datastructures import Headers
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from lmos.model import Description, Responder, Turn, TurnEvent, User, errors
from lmos.protocols import http, limits, mcp
from lmos.protocols.extras import installed
from lmos.protocols.mcp.guard import USER
from lmos.runtime.routings import ChannelTable, Member
from lmos.runtime.supervisor import Supervisor

PATH = "/mcp/{tenant}/{channel}"

#: What is offered below a path with these parameters. An error where there is nothing.
Offered = Callable[[Mapping[str, str]], Awaitable[mcp.Offer]]


def routes(supervisor: Supervisor, respond: Responder) -> list[Route]:
    """`/mcp/{tenant}/{channel}`, where MCP is installed."""
    if not installed("mcp"):
        return []

    async def offered(path: Mapping[str, str]) -> mcp.Offer:
        given = {what: limits.check_name(what, path[what]) for what in ("tenant", "channel")}
        return offer(await supervisor.routings.found(**given), respond)

    return [Route(PATH, Faces(supervisor.closing, offered))]


def offer(channel: ChannelTable, respond: Responder) -> mcp.Offer:
    """The channel and each of its agents as tools. A turn by way of them is a turn like others: it
    is decided on, remembered and logged.
    """
    name, members = f"{channel.tenant}/{channel.channel}", channel.members.values()
    whole = Description(
        name=name,
        description=f"Whoever of the channel {name} can help with what the user says.",
        capabilities=tuple(c for member in members for c in member.agent.capabilities),
    )
    return mcp.Offer(
        name=name,
        version="1",
        instructions="Ask for what a user wants; a specialist is found for it. Go on in the same "
        "conversation by its id, which every answer has.",
        tools=[
            mcp.agent_tool(whole, _placed(respond, channel), name="ask"),
            *(mcp.agent_tool(_described(m), _placed(respond, channel, m.name)) for m in members),
        ],
    )


def _described(member: Member) -> Description:
    return Description(
        name=member.name,
        version=member.agent.version,
        description=member.agent.description,
        capabilities=member.agent.capabilities,
    )


def _placed(respond: Responder, channel: ChannelTable, agent: str = "") -> Responder:
    """Answers turns of the channel, and of no other, whatever they say of themselves."""

    def placed(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        where = {"tenant": channel.tenant, "channel": channel.channel}
        return respond(turn.but(**where, **({"agent": agent} if agent else {})))

    return placed


class Faces:
    """An ASGI endpoint with an MCP server for each path that something is offered at, made with its
    first request and closed with `closing`. Requests stand for themselves: any of several runtimes
    may answer them. The header `user` names whom they are for, unless a token does.
    """

    def __init__(self, closing: AsyncExitStack, offered: Offered) -> None:
        self._closing = closing
        self._offered = offered
        self._offers: dict[tuple[str, ...], mcp.Offer] = {}
        self._endpoints: dict[tuple[str, ...], Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves the request, with what is offered now."""
        path = scope["path_params"]
        place = tuple(path.values())
        try:
            self._offers[place] = await self._offered(path)
            endpoint = await self._at(place)
            if user := Headers(scope=scope).get("user"):
                scope = {**scope, USER: User(id=limits.check_name("user", user))}
        except errors.LmosError as error:
            endpoint = http.problem_response(error, scope["path"])
        await endpoint(scope, receive, send)

    async def _at(self, place: tuple[str, ...]) -> Any:
        if place not in self._endpoints:
            face = mcp.Face(lambda: self._offers[place], stateless=True)
            self._endpoints[place] = face.routes()[0].endpoint
            await self._closing.enter_async_context(face.running())
        return self._endpoints[place]
