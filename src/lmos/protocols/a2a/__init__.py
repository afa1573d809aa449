"""A2A 1.0: a responder served to any A2A client, and any A2A agent as a responder.

A turn becomes a task: its text comes as chunks of an artifact, a question back interrupts it, a
failure fails it. Between two parties that both know the extension `EXTENSION` the turn itself and
each of its events ride along in metadata, so that nothing is lost on the way; towards others
only the user's message leaves the house. JSON-RPC and HTTP+JSON are at `/a2a`, gRPC (`rpc`) has a
port of its own; all are faces of one `Service`.
"""

from lmos.protocols.a2a.card import CARD, Offer, describe
from lmos.protocols.a2a.client import responder
from lmos.protocols.a2a.codec import EXTENSION
from lmos.protocols.a2a.legacy import PATH as OLD_CARD
from lmos.protocols.a2a.legacy import route as old_card_route
from lmos.protocols.a2a.server import routes
from lmos.protocols.a2a.service import Service

__all__ = [
    "CARD",
    "EXTENSION",
    "OLD_CARD",
    "Offer",
    "Service",
    "describe",
    "old_card_route",
    "responder",
    "routes",
]
