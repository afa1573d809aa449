"""The runtime over HTTP: LMOS's REST API, and faces of every channel over other protocols.

POST /apis/v1/{tenant}/chat/{conversation}/message            a turn, JSON or server-sent events
/apis/v1/{tenant}/chat/{conversation}/ws                      turns over a WebSocket
POST /apis/v1/tenants/{tenant}/channels/{channel}/decision    who would answer, and why
GET  /apis/v1/tenants/{tenant}/channels/{channel}/humans      conversations that are with people
GET  /apis/v1/agents?tenantId=&channelId=&subset=             the agents of a channel
GET  /apis/v1/agents/{tenant}/{channel}                       the same, with addresses
/a2a/{tenant}/{channel}/...                                   the channel as one A2A agent
/v1/chat/completions, /v1/models                              the channel as model tenant/channel
/graphql, /subscriptions                                      the channel as ARC's agent, likewise
/agui/{tenant}/{channel}                                      the channel over AG-UI
/mcp/{tenant}/{channel}                                       see `lmos.runtime.api_mcp`
/apis/v1/{tenant}/conversations...                            see `lmos.runtime.api_conversations`
/apis/v1/{tenant}/.../memory..., /apis/v1/{tenant}/mcp        see `lmos.runtime.api_memory`
GET  /metrics                                                 figures for Prometheus
GET  /health, /health/live, /health/ready
GET  /openapi.json                                            what is below /apis/v1, described
GET  /.well-known/jwks.json                                   keys of what is stated to agents

Who may ask for what is decided in `lmos.runtime.identity`, for all of it at once.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from lmos.model import (
    STABLE,
    Capability,
    Description,
    Message,
    Responder,
    Turn,
    TurnEvent,
    User,
    errors,
)
from lmos.protocols import a2a, agui, auth, graphql, http, limits, openai
from lmos.protocols import lmos as lmos_protocol
from lmos.protocols import origins as cross_site
from lmos.protocols.directory import Directory
from lmos.protocols.extras import installed
from lmos.protocols.tokens import JWKS
from lmos.runtime import api_conversations, api_mcp, api_memory, desk, exposition, identity, openapi
from lmos.runtime.routings import ChannelTable
from lmos.runtime.supervisor import Supervisor

CHANNELS = "/apis/v1/tenants/{tenant}/channels/{channel}"
#: Headers of answers that pages of other origins may read.
EXPOSED = ("x-conversation-id", "x-turn-id", "a2a-extensions", "retry-after", "www-authenticate")


#: Before which the paths of the REST API are served: itself, and what the original's gateway put
#: before it.
PREFIXES = lmos_protocol.PREFIXES

#: Says why turns cannot be answered at the moment; empty when they can.
Ready = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Serving:
    """How the runtime is served. `rates` limit turns; `signer` publishes its keys; `schemes` are
    the kinds of credentials that cards tell of; `ready` is asked by who looks after the process.
    """

    rates: identity.Counts | None = None
    signer: identity.Signer | None = None
    schemes: tuple[str, ...] = ()
    ready: Ready = lambda: ""


def routes(supervisor: Supervisor, serving: Serving | None = None) -> list[BaseRoute]:
    """Everything of this module, to be put into an application with `gated`."""
    serving = serving or Serving()
    entry = identity.Entry(supervisor.respond, serving.rates)
    api, channels = _Api(supervisor, entry, serving), ChannelModels(supervisor, entry.respond)
    return [
        # the first that fits serves a request: what is asked most is looked at first
        *identity.for_users(lmos_protocol.chat_routes(entry.respond)),
        *identity.shared(openai.routes(channels)),
        *identity.shared(graphql.routes(channels.directory) if installed("graphql") else ()),
        *identity.shared(agui.routes(channels) if installed("ag_ui") else ()),
        *identity.open_to_all(api.public()),
        *identity.for_users(lmos_protocol.socket_routes(entry.respond, PREFIXES)),
        *identity.for_users(api_mcp.routes(supervisor, entry.respond)),
        *identity.for_users(
            a2a.routes(entry.respond, api.describe, "/a2a/{tenant}/{channel}", api.offer)
        ),
        *identity.for_users(api.routes()),
        *identity.for_owners(api_conversations.routes(supervisor), supervisor.owns),
        *desk.routes(supervisor.humans),
        *api_memory.routes(supervisor),
        exposition.route(supervisor.metrics, supervisor.admission),
    ]


def application(
    routes: Iterable[BaseRoute],
    checks: auth.Checks | None = None,
    *,
    origins: Collection[str] = (),
    lifespan: Any = None,
) -> Starlette:
    """The routes as an application where `checks` says who asks and every route is `gated`; without
    `checks` everybody may ask, save for pages of others in a browser.
    """
    closed = identity.gated(routes)
    closed += identity.open_to_all([_described(closed, checks is not None)])
    if checks is None:
        around = Middleware(cross_site.Origins, allowed=origins)
    else:
        around = Middleware(auth.Guard, auth=checks, open_paths=identity.open_paths(closed))
    return Starlette(
        routes=closed,
        middleware=[*_cors(origins), around],
        exception_handlers=http.exception_handlers,
        lifespan=lifespan,
    )


def _described(routes: Iterable[BaseRoute], closed: bool) -> BaseRoute:
    """`/openapi.json`, which tells of all of them."""
    found = [route.route if isinstance(route, identity.Gated) else route for route in routes]
    described = openapi.document(found, closed=closed)

    async def get(request: Request) -> Response:
        return http.json_response(described, headers={"cache-control": "max-age=300"})

    return Route("/openapi.json", get, methods=["GET"])


def _cors(origins: Collection[str]) -> list[Middleware]:
    """What browsers ask before pages of these origins may."""
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=EXPOSED,
        )
    ]


class ChannelModels:
    """Channels as the models of an OpenAI-compatible server, and as agents of protocols whose
    callers pick one, named `tenant/channel`. A caller sees those of its tenant.
    """

    def __init__(self, supervisor: Supervisor, respond: Responder) -> None:
        self._supervisor = supervisor
        self._respond = respond

    def list(self) -> Sequence[str]:
        """The names of the caller's channels."""
        return [
            f"{c.tenant}/{c.channel}" for c in self._supervisor.routings.all() if _reaches(c.tenant)
        ]

    names = list

    @property
    def directory(self) -> Directory:
        """The channels for protocols whose callers may also name tenant and channel in the turn's
        context, as clients of the original's GraphQL do.
        """
        return _ChannelDirectory(self, self._respond)

    def responder(self, name: str | None) -> Responder:
        """The channel as a responder. `ChannelNotFound` when there is none of that name."""
        tenant, slash, channel = (name or "").partition("/")
        if not slash:
            asked = f"there is no model {name!r}" if name else "no channel is named"
            raise errors.ChannelNotFound(f"{asked}; a model is a channel, written tenant/channel")
        if not _reaches(tenant):
            raise errors.ChannelNotFound(f"there is no channel {name!r} for these credentials")
        self._supervisor.routings.check(tenant, channel)

        def respond(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
            return self._respond(turn.but(tenant=tenant, channel=channel))

        return respond


class _ChannelDirectory:
    """Channels by name, or by what the turn's context says."""

    def __init__(self, models: ChannelModels, respond: Responder) -> None:
        self._models = models
        self._respond = respond

    def names(self) -> Sequence[str]:
        return self._models.list()

    def responder(self, name: str | None) -> Responder:
        return self._models.responder(name) if name and "/" in name else self._placed

    def _placed(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        caller = auth.CALLER.get()
        tenant = turn.tenant or (caller and caller.tenant) or ""
        if not turn.channel or not tenant:
            raise errors.ChannelNotFound(
                "which channel? Name it as the agent, tenant/channel, or tenantId and channelId in "
                "the system context"
            )
        return self._respond(turn.but(tenant=tenant))


def _reaches(tenant: str) -> bool:
    caller = auth.CALLER.get()
    return caller is None or caller.reaches(tenant)


class _Api:
    """The endpoints that are the runtime's own."""

    def __init__(self, supervisor: Supervisor, entry: identity.Entry, serving: Serving) -> None:
        self._supervisor = supervisor
        self._entry = entry
        self._serving = serving

    def routes(self) -> list[BaseRoute]:
        """What is a tenant's."""
        found: list[BaseRoute] = []
        for prefix in PREFIXES:
            found += [
                Route(prefix + CHANNELS + "/decision", self.decide, methods=["POST"]),
                *identity.shared([Route(prefix + "/apis/v1/agents", self.agents, methods=["GET"])]),
                Route(
                    prefix + "/apis/v1/agents/{tenant}/{channel}", self.addresses, methods=["GET"]
                ),
            ]
        return found

    def public(self) -> list[BaseRoute]:
        """What everybody may see."""
        return [
            Route("/health", self.ready, methods=["GET"]),
            Route("/health/live", self.live, methods=["GET"]),
            Route("/health/ready", self.ready, methods=["GET"]),
            Route(JWKS, self.jwks, methods=["GET"]),
        ]

    def offer(self) -> a2a.Offer:
        """What cards say of credentials."""
        return a2a.Offer(schemes=self._serving.schemes)

    async def decide(self, request: Request) -> Response:
        asked = limits.parsed(openapi.Question, await http.read_json(request))
        path = request.path_params
        turn = Turn(
            tenant=path["tenant"],
            channel=path["channel"],
            subset=request.headers.get("x-subset") or STABLE,
            conversation_id=asked.conversation_id,
            turn_id="-",
            user=User(id=asked.user_id),
            messages=_messages(asked),
        )
        decision = await self._supervisor.decide(await self._entry.admitted(turn))
        return http.json_response(decision.wire())

    async def agents(self, request: Request) -> Response:
        query = request.query_params
        if not query.get("tenantId") or not query.get("channelId"):
            raise errors.InvalidInput("tenantId and channelId are needed, as query parameters")
        subset = query.get("subset") or STABLE
        channel = await self._supervisor.routings.found(
            query["tenantId"], query["channelId"], subset
        )
        return JSONResponse({"subset": subset, "agents": _agents(channel)})

    async def addresses(self, request: Request) -> Response:
        path = request.path_params
        subset = request.headers.get("x-subset") or STABLE
        channel = await self._supervisor.routings.found(path["tenant"], path["channel"], subset)
        found = [
            {**agent, "addresses": [member.address.wire()] if member.address else []}
            for agent, member in zip(_agents(channel), channel.members.values(), strict=True)
        ]
        return JSONResponse(found)

    async def live(self, request: Request) -> Response:
        return JSONResponse({"status": "UP"})

    async def ready(self, request: Request) -> Response:
        why = self._serving.ready()
        if not why:
            return JSONResponse({"status": "UP"})
        return JSONResponse({"status": "OUT_OF_SERVICE", "reason": why}, 503)

    async def jwks(self, request: Request) -> Response:
        signer = self._serving.signer
        keys = signer.jwks() if signer else {"keys": []}
        return http.json_response(keys, headers={"cache-control": "max-age=300"})

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


def _messages(asked: openapi.Question) -> tuple[Message, ...]:
    given = asked.messages
    if asked.text:
        given = (Message(role="user", content=asked.text),)
    elif not given:
        raise errors.InvalidInput('the body must have "text" or "messages"')
    limits.check_messages(given)
    return given
