"""ARC's GraphQL protocol: agents for the clients of the original, and its agents as responders.

An agent is asked by the subscription `agent`, over a WebSocket (graphql-transport-ws) or
server-sent events (graphql-sse): what it says on the way comes as intermediate messages, then one
message ends the turn. Queries tell which agents and tools there are. Names, shapes and order are
the original's, so its clients work unchanged; who asks for them also gets pieces of the text and
events.
"""

from lmos.protocols.graphql.client import responder
from lmos.protocols.graphql.describing import describe
from lmos.protocols.graphql.execution import Tool, Tools
from lmos.protocols.graphql.feed import Feed
from lmos.protocols.graphql.limits import Limits
from lmos.protocols.graphql.naming import AgentEvent
from lmos.protocols.graphql.schema import sdl
from lmos.protocols.graphql.server import routes

__all__ = [
    "AgentEvent",
    "Feed",
    "Limits",
    "Tool",
    "Tools",
    "describe",
    "responder",
    "routes",
    "sdl",
]
