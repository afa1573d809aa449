"""The runtime: one way in for a tenant's channel, many agents behind it.

`Routings` keeps a snapshot of who serves which channel. `Supervisor` takes a turn, finds the
channel, asks the router which agent is meant, forwards the turn to it and passes its events on as
they come; it remembers conversations and which agent answered last. It is a `Responder`, so every
protocol serves it; `app.routes` does so over HTTP.
"""

from lmos.protocols.connecting import connect
from lmos.runtime.admission import Capacity
from lmos.runtime.breakers import Breakers, Limits
from lmos.runtime.collaboration.supervising import PlanLimits
from lmos.runtime.humans import Humans
from lmos.runtime.routings import ChannelTable, Member, Routings
from lmos.runtime.settings import Settings
from lmos.runtime.supervisor import Supervisor

__all__ = [
    "Breakers",
    "Capacity",
    "ChannelTable",
    "Humans",
    "Limits",
    "Member",
    "PlanLimits",
    "Routings",
    "Settings",
    "Supervisor",
    "connect",
]
