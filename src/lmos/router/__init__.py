"""The router: which agent a message is for, or that none is.

A `RoutingTable` holds what the agents of a channel say of themselves, as vectors. A router takes a
`RoutingRequest` (the conversation with its new message) and a table and gives a `Decision`: ranked
candidates with probabilities and evidence, and the reason. Routers hold no state.
"""

from lmos.router.evaluation import Report, evaluate
from lmos.router.table import RoutingTable
from lmos.router.vector import RoutingRequest, VectorRouter

__all__ = ["Report", "RoutingRequest", "RoutingTable", "VectorRouter", "evaluate"]
