"""AG-UI: agents for the user interfaces that speak it, and such an agent as a responder.

A turn is a run: its text comes as text messages, tools as tool calls, and what the protocol has no
event for (who answers, the router's decision, status, context, a question back, a hand-over) as
custom events named `lmos.*`. A question that wants an approval interrupts the run; any other one
is a message like any, so that a chat can simply go on.
"""

from lmos.protocols.agui.client import responder
from lmos.protocols.agui.server import routes

__all__ = ["responder", "routes"]
