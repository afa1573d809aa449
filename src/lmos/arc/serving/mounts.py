"""Protocols that come with an extra, served where it is installed.

`MOUNTS` names for each the module by which its extra is known to be there, which is looked for but
not imported, and a function that makes of the agents what is to be served. That function imports
its protocol itself, so a process without the extra, or an agent that is not served, pays nothing.
"""

import importlib.util
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute

from lmos.arc import features
from lmos.arc.serving.settings import Settings
from lmos.model import Responder, Turn, TurnEvent

if TYPE_CHECKING:
    from lmos.arc.serving.settings import AnyAgent


@dataclass(frozen=True, slots=True)
class Served:
    """What a protocol is given: the agents by name, and how to ask each. Only `responders` know
    who the caller is; a protocol asks through them, never `agent.respond` itself.
    """

    agents: "Mapping[str, AnyAgent]"
    responders: Mapping[str, Responder]
    settings: Settings

    async def default(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        """Answers a turn for which the caller names no agent: the first whose features are on."""
        agent = await features.active(list(self.agents.values()), turn)
        async with aclosing(self.responders[agent.name](turn)) as events:
            async for event in events:
                yield event


@dataclass(frozen=True, slots=True)
class Mounted:
    """What a protocol gives: its routes, and what must run while they are served."""

    routes: Sequence[BaseRoute]
    running: Callable[[], AbstractAsyncContextManager[None]] | None = None


@dataclass(frozen=True, slots=True)
class Mount:
    """A protocol that needs the module `needs` of its extra."""

    needs: str
    make: Callable[[Served], Mounted]


def _graphql(served: Served) -> Mounted:
    """ARC's GraphQL at `/graphql` and `/subscriptions`."""
    from lmos.protocols import graphql
    from lmos.protocols.directory import several

    if not served.settings.dev:
        return Mounted(graphql.routes(several(served.responders, served.default)))
    from lmos.arc.editor import usecases_route
    from lmos.arc.serving.happening import forwarding
    from lmos.arc.serving.workbench import AgentTools

    feed = graphql.Feed()
    watched = {name: feed.watched(responder) for name, responder in served.responders.items()}
    tools = AgentTools(served.agents)
    routes = graphql.routes(
        several(watched, feed.watched(served.default)),
        tools=tools,
        calling=True,
        events=feed.events,
    )
    return Mounted([*routes, usecases_route()], forwarding(feed))


def _agui(served: Served) -> Mounted:
    """AG-UI at `/agui`, and at `/agui/{name}` for several."""
    from lmos.protocols import agui
    from lmos.protocols.directory import several

    return Mounted(agui.routes(several(served.responders, served.default)))


def _mcp(served: Served) -> Mounted:
    """MCP at `/mcp`: every agent as a tool, and their tools."""
    from lmos.arc.mcp_serving import face

    made = face(*served.agents.values(), responders=served.responders)
    return Mounted(made.routes(), made.running)


#: The protocols, in the order of their routes.
MOUNTS: list[Mount] = [Mount("graphql", _graphql), Mount("ag_ui", _agui), Mount("mcp", _mcp)]


def mounted(served: Served) -> list[Mounted]:
    """Every protocol whose extra is installed."""
    return [m.make(served) for m in MOUNTS if importlib.util.find_spec(m.needs) is not None]
