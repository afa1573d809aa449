"""The ASGI application around agents.

One agent has the paths of its protocols at the root. Several have A2A and capabilities each below
`/agents/{name}`, and share the rest: an OpenAI model is an agent, and so on.

GET  /.well-known/agent-card.json, agent.json      cards; /agents/{name}/.well-known/... for several
GET  /.well-known/capabilities.json                likewise
POST /a2a                                          A2A 1.0; /agents/{name}/a2a for several
POST /v1/chat/completions, /v1/responses           OpenAI, GET /v1/models; also below /openai
GET  /agents                                       who is here
GET  /health, /health/live, /health/ready, /metrics
"""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from lmos.arc.serving import health, mounts
from lmos.arc.serving.settings import Settings, supervised
from lmos.model import Description, Responder
from lmos.model.errors import InvalidInput, NotFound
from lmos.protocols import a2a, auth, connecting, http, openai, origins
from lmos.protocols import lmos as lmos_protocol

if TYPE_CHECKING:
    from lmos.arc.serving.settings import AnyAgent

WELL_KNOWN = (a2a.CARD, a2a.OLD_CARD, "/.well-known/capabilities.json")
_IN_PATH = re.compile(r"[\w.~-]+")
#: Seconds that turns over gRPC get in a process that is supervised; the supervisor gives fewer.
DRAIN = 75.0
#: Headers of answers that pages of other origins may read.
EXPOSED = ("x-conversation-id", "x-turn-id", "a2a-extensions", "retry-after", "www-authenticate")


def app(agents: "AnyAgent | Sequence[AnyAgent]", settings: Settings | None = None) -> Starlette:
    """The agents over all protocols that are installed. They start and stop with the application.

    With `settings.auth` everything needs credentials but health and the documents below
    `/.well-known/`. `InvalidInput` when two agents have one name. `state.leaving` of the
    application is an event to set when the process is about to end.
    """
    return _App(_named(agents), settings or Settings()).starlette()


def _named(agents: "AnyAgent | Sequence[AnyAgent]") -> "dict[str, AnyAgent]":
    found: dict[str, AnyAgent] = {}
    for agent in agents if isinstance(agents, Sequence) else [agents]:
        if agent.name in found:
            raise InvalidInput(f"two agents are named {agent.name!r}; rename one of them")
        found[agent.name] = agent
    if not found:
        raise InvalidInput("there is no agent to serve")
    if unfit := [name for name in found if len(found) > 1 and not _IN_PATH.fullmatch(name)]:
        raise InvalidInput(f"{unfit[0]!r} cannot be part of a path; several agents need such names")
    return found


class _App:
    """What goes into the application."""

    def __init__(self, agents: "dict[str, AnyAgent]", settings: Settings) -> None:
        self._agents = agents
        self._settings = settings
        self._single = len(agents) == 1
        self._grpc_port = 0
        self._responders = {n: auth.identified(a.respond) for n, a in agents.items()}
        self._services = {n: a2a.Service(r) for n, r in self._responders.items()}
        self._health = health.Health(tuple(agents.values()), settings.checks)
        served = mounts.Served(agents, self._responders, settings)
        self._mounted = mounts.mounted(served)

    def starlette(self) -> Starlette:
        """The application."""
        made = Starlette(
            routes=self._routes(),
            middleware=self._middleware(),
            lifespan=self._lifespan,
            exception_handlers=http.exception_handlers,
        )
        made.state.leaving = self._health.leaving
        return made

    # --- routes --------------------------------------------------------------------------------

    def _routes(self) -> list[BaseRoute]:
        found: list[BaseRoute] = [*self._health.routes(), Route("/agents", self.who)]
        for name, agent in self._agents.items():
            found += self._agent_routes(name, agent)
        if not self._single:
            found.append(a2a.old_card_route(self._descriptions))
            found.append(Route(a2a.CARD, self.which))
        found += openai.routes(_Models(self._responders))
        found += [route for mounted in self._mounted for route in mounted.routes]
        if self._settings.metrics is not None:
            found.append(Route("/metrics", _Whole(self._settings.metrics)))
        return found

    def _agent_routes(self, name: str, agent: "AnyAgent") -> list[BaseRoute]:
        def described(request: Request) -> Description:
            return agent.describe()

        prefix = self._prefix(name)

        def offer() -> a2a.Offer:
            tenant = "" if self._single else name
            return a2a.Offer(self._grpc_port, tenant, self._settings.schemes)

        return [
            *a2a.routes(self._services[name], described, prefix, offer),
            lmos_protocol.capabilities_route(described, prefix),
        ]

    def _prefix(self, name: str) -> str:
        return "" if self._single else f"/agents/{name}"

    def _descriptions(self) -> list[Description]:
        return [agent.describe() for agent in self._agents.values()]

    async def who(self, request: Request) -> Response:
        """The agents, with where their cards are."""
        found = [
            {
                "name": agent.name,
                "version": agent.version,
                "description": agent.description,
                "card": self._prefix(name) + a2a.CARD,
            }
            for name, agent in self._agents.items()
        ]
        return http.json_response({"agents": found})

    async def which(self, request: Request) -> Response:
        """A2A has no card for several agents; says where theirs are."""
        cards = ", ".join(self._prefix(name) + a2a.CARD for name in self._agents)
        raise NotFound(f"several agents are served here; their cards are at {cards}")

    # --- around --------------------------------------------------------------------------------

    def _middleware(self) -> list[Middleware]:
        found = []
        if cors := self._settings.cors:
            found.append(
                Middleware(
                    CORSMiddleware,
                    allow_origins=cors.origins,
                    allow_methods=cors.methods,
                    allow_headers=cors.headers,
                    expose_headers=EXPOSED,
                )
            )
        if not self._settings.auth:
            found.append(Middleware(origins.Origins, allowed=cors.origins if cors else ()))
        else:
            found.append(
                Middleware(auth.Guard, auth=self._settings.auth, open_paths=self.open_paths())
            )
        return found

    def open_paths(self) -> set[str]:
        """What everybody may see: health, cards and capabilities."""
        documents = {self._prefix(name) + path for name in self._agents for path in WELL_KNOWN}
        return {*health.PATHS, *documents, a2a.CARD, a2a.OLD_CARD}

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncGenerator[None, None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(connecting.disconnect)
            for agent in self._agents.values():
                await agent.start()
                stack.push_async_callback(agent.stop)
            for mounted in self._mounted:
                if mounted.running is not None:
                    await stack.enter_async_context(mounted.running())
            if self._settings.grpc:
                await stack.enter_async_context(self._grpc(self._settings.grpc))
            self._health.started = True
            yield
            self._health.leaving.set()

    @asynccontextmanager
    async def _grpc(self, address: str) -> AsyncGenerator[None, None]:
        from lmos.protocols.a2a import rpc

        async with rpc.serving(
            self._services,
            address,
            auth=self._settings.auth,
            leaving=self._health.leaving,
            grace=DRAIN if supervised() else rpc.GRACE,
        ) as self._grpc_port:
            yield


class _Whole:
    """An application of its own at one path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers."""
        await self._app(scope, receive, send)


class _Models:
    """The agents as OpenAI's models."""

    def __init__(self, responders: dict[str, Responder]) -> None:
        self._responders = responders

    def list(self) -> Sequence[str]:
        return list(self._responders)

    def responder(self, name: str) -> Responder:
        if name not in self._responders:
            there = ", ".join(self._responders)
            raise NotFound(f"there is no model {name!r}; an agent is one, and here is {there}")
        return self._responders[name]
