"""LMOS's own protocols: the runtime's REST API and the agents' capabilities document.

An application posts a `Conversation` to `/apis/v1/{tenant}/chat/{conversation}/message` and gets
the assistant's message as JSON, or, with `Accept: text/event-stream`, the turn's events as they
happen, or asks for turn after turn over the WebSocket `.../ws` beside it. An agent tells what it
can do at `/.well-known/capabilities.json`. All but the WebSocket are the original's formats with
fields added.
"""

from lmos.protocols.lmos.capabilities import capabilities_route, describe
from lmos.protocols.lmos.client import responder
from lmos.protocols.lmos.server import PREFIXES, chat_routes
from lmos.protocols.lmos.socket import socket_routes

__all__ = [
    "PREFIXES",
    "capabilities_route",
    "chat_routes",
    "describe",
    "responder",
    "socket_routes",
]
