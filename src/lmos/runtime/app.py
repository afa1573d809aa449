"""The runtime over HTTP: LMOS's REST API, and faces of every channel over other protocols.

POST /apis/v1/{tenant}/chat/{conversation}/message            a turn, JSON or server-sent events
POST /apis/v1/tenants/{tenant}/channels/{channel}/decision    who would answer, and why
GET  /apis/v1/tenants/{tenant}/channels/{channel}/humans      conversations that are with people
GET  /apis/v1/agents?tenantId=&channelId=&subset=             the agents of a channel
GET  /apis/v1/agents/{tenant}/{channel}                       the same, with addresses
/a2a/{tenant}/{channel}/...                                   the channel as one A2A agent
/v1/chat/completions, /v1/models                              the channel as model tenant/channel
/graphql, /subscriptions                                      the channel as ARC's agent, likewise
/agui/{tenant}/{channel}                                      the channel over AG-UI
/apis/v1/{tenant}/conversations...                            see `lmos.runtime.api_conversations`
/apis/v1/{tenant}/.../memory..., /apis/v1/{tenant}/mcp        see `lmos.runtime.api_memory`
GET  /metrics                                                 figures for Prometheus
GET  /health, /health/live, /health/ready
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from lmos.model import (
    STABLE,
    Capability,
    Description,
    InputContext,
    Message,
    Responder,
    Turn,
    TurnEvent,
    errors,
)
from lmos.protocols import a2a, agui, graphql, http, limits, openai
from lmos.protocols import lmos as lmos_protocol
from lmos.protocols.extras import installed
from lmos.runtime import api_conversations, api_memory, desk, exposition
from lmos.runtime.routings import ChannelTable
from lmos.runtime.supervisor import Supervisor

CHANNELS = "/apis/v1/tenants/{tenant}/channels/{channel}"


def routes(supervisor: Supervisor) -> list[BaseRoute]:
    """Everything of this module, to be put into an application."""
    api, channels = _Api(supervisor), ChannelModels(supervisor)
    return [
        *lmos_protocol.chat_routes(supervisor.respond),
        *openai.routes(channels),
        *(graphql.routes(channels) if installed("graphql") else ()),
        *(agui.routes(channels) if installed("ag_ui") else ()),
        *a2a.routes(supervisor.respond, api.describe, prefix="/a2a/{tenant}/{channel}"),
        *desk.routes(supervisor.humans),
        Route(CHANNELS + "/decision", api.decide, methods=["POST"]),
        Route("/apis/v1/agents", api.agents, methods=["GET"]),
        Route("/apis/v1/agents/{tenant}/{channel}", api.addresses, methods=["GET"]),
        *api_conversations.routes(supervisor),
        *api_memory.routes(supervisor),
        exposition.route(supervisor.metrics, supervisor.admission),
        Route("/health", api.health, methods=["GET"]),
        Route("/health/live", api.health, methods=["GET"]),
        Route("/health/ready", api.health, methods=["GET"]),
    ]


class ChannelModels:
    """Channels as the models of an OpenAI-compatible server, and as agents of protocols whose
    callers pick one, named `tenant/channel`.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def list(self) -> Sequence[str]:
        """The names of all channels."""
        return [f"{c.tenant}/{c.channel}" for c in self._supervisor.routings.all()]

    names = list

    def responder(self, name: str | None) -> Responder:
        """The channel as a responder. `ChannelNotFound` when there is none of that name."""
        tenant, slash, channel = (name or "").partition("/")
        if not slash:
            asked = f"there is no model {name!r}" if name else "no channel is named"
            raise errors.ChannelNotFound(f"{asked}; a model is a channel, written tenant/channel")
        self._supervisor.routings.find(tenant, channel)

        async def respond(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
            events = self._supervisor.respond(turn.but(tenant=tenant, channel=channel))
            try:
                async for event in events:
                    yield event
            finally:
                await events.aclose()

        return respond


class _Api:
    """The endpoints that are the runtime's own."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    async def decide(self, request: Request) -> Response:
        body = await http.read_json(request)
        path = request.path_params
        turn = Turn(
            tenant=path["tenant"],
            channel=path["channel"],
            subset=request.headers.get("x-subset") or STABLE,
            conversation_id=str(_field(body, "conversationId", "-decision-")),
            turn_id="-",
            messages=_messages(body),
        )
        decision = await self._supervisor.decide(turn)
        return http.json_response(decision.wire())

    async def agents(self, request: Request) -> Response:
        query = request.query_params
        if not query.get("tenantId") or not query.get("channelId"):
            raise errors.InvalidInput("tenantId and channelId are needed, as query parameters")
        subset = query.get("subset") or STABLE
        channel = self._supervisor.routings.find(query["tenantId"], query["channelId"], subset)
        return JSONResponse({"subset": subset, "agents": _agents(channel)})

    async def addresses(self, request: Request) -> Response:
        path = request.path_params
        subset = request.headers.get("x-subset") or STABLE
        channel = self._supervisor.routings.find(path["tenant"], path["channel"], subset)
        found = [
            {**agent, "addresses": [member.address.wire()] if member.address else []}
            for agent, member in zip(_agents(channel), channel.members.values(), strict=True)
        ]
        return JSONResponse(found)

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "UP"})

    def describe(self, request: Request) -> Description:
        """A channel as one agent whose capabilities are those of all its agents."""
        path = request.path_params
        channel = self._supervisor.routings.find(path["tenant"], path["channel"])
        return Description(
            name=f"{channel.tenant}/{channel.channel}",
            version="1.0.0",
            description=f"The channel {channel.channel} of {channel.tenant}.",
            supported_tenants=(channel.tenant,),
            supported_channels=(channel.channel,),
            capabilities=_capabilities(channel),
        )


def _capabilities(channel: ChannelTable) -> tuple[Capability, ...]:
    return tuple(c for m in channel.members.values() for c in m.agent.capabilities)


def _agents(channel: ChannelTable) -> list[dict[str, Any]]:
    keys = ("id", "name", "version", "description")
    return [
        {
            "id": member.agent.name,
            "name": member.agent.name,
            "version": member.agent.version,
            "description": member.agent.description,
            "capabilities": [
                {key: getattr(capability, key) for key in keys}
                for capability in member.agent.capabilities
            ],
        }
        for member in channel.members.values()
    ]


def _field(body: Any, name: str, default: Any = None) -> Any:
    if not isinstance(body, dict):
        raise errors.InvalidInput('the body must be an object such as {"text": "hello"}')
    return body.get(name, default)


def _messages(body: Any) -> tuple[Message, ...]:
    text = _field(body, "text")
    given = [{"role": "user", "content": text}] if text else _field(body, "messages")
    if not isinstance(given, list) or not given:
        raise errors.InvalidInput('the body must have "text" or "messages"')
    messages = limits.parsed(InputContext, {"messages": given}).messages
    limits.check_messages(messages)
    return messages
