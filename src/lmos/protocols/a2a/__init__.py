"""A2A 1.0: a responder served to any A2A client, and any A2A agent as a responder.

A turn becomes a task: its text comes as chunks of an artifact, a question back interrupts it, a
failure fails it. Between two parties that both know the extension `EXTENSION` the turn itself and
each of its events ride along in metadata, so that nothing is lost on the way; towards others
only the user's message leaves the house. Both bindings, JSON-RPC and HTTP+JSON, are at `/a2a`.
"""

from lmos.protocols.a2a.card import describe
from lmos.protocols.a2a.client import responder
from lmos.protocols.a2a.codec import EXTENSION
from lmos.protocols.a2a.server import routes

__all__ = ["EXTENSION", "describe", "responder", "routes"]
