"""ARC, the Agent ReaCtor: a framework to build agents.

An `Agent` is a name, use cases in ADL and typed functions as tools. It answers a turn with a
language model (`loop`) or without one (`direct`), and is a `Responder` like everything that
answers turns, so every protocol can serve it. `Context` is what its functions know of a turn.
"""

from lmos.arc.agent import Agent
from lmos.arc.context import Context
from lmos.arc.mcp_tools import mcp, mcp_from_environment
from lmos.arc.words import Words

__all__ = ["Agent", "Context", "Words", "mcp", "mcp_from_environment"]
