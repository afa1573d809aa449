"""OpenAI's chat completions and responses: responders as models, and a model as a responder.

So that every client and page made for OpenAI works with an agent or a channel: the `model` names
it. What such a client does not expect, who answered and why, rides in the extra field `lmos`.
"""

from lmos.protocols.openai.client import responder
from lmos.protocols.openai.server import Models, routes, single

__all__ = ["Models", "responder", "routes", "single"]
