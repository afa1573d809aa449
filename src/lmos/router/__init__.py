"""The router: which agent a message is for, or that none is.

A `RoutingTable` holds what the agents of a channel say of themselves, as vectors. A `Router` takes
a `RoutingRequest` (the conversation with its new message) and a table and gives a `Decision`:
ranked candidates with probabilities and evidence, and the reason. Routers hold no conversation.

`VectorRouter` needs no language model; `LlmRouter` lets one choose, `HybridRouter` lets one say
what is wanted; `CascadeRouter`, the default, asks one only where the vectors are not sure.
"""

from lmos.router.cascade import CascadeRouter
from lmos.router.evaluation import Report, evaluate
from lmos.router.fit import Fit
from lmos.router.hybrid import HybridRouter
from lmos.router.llm import LlmRouter
from lmos.router.opening import DEFAULT, open_router
from lmos.router.request import Router, RoutingRequest
from lmos.router.table import Near, RoutingTable
from lmos.router.vector import VectorRouter

__all__ = [
    "DEFAULT",
    "CascadeRouter",
    "Fit",
    "HybridRouter",
    "LlmRouter",
    "Near",
    "Report",
    "Router",
    "RoutingRequest",
    "RoutingTable",
    "VectorRouter",
    "evaluate",
    "open_router",
]
