"""ARC, the Agent ReaCtor: a framework to build agents.

An `Agent` is a name, use cases in ADL and typed functions as tools. It answers a turn with a
language model (`loop`) or without one (`direct`), and is a `Responder` like everything that
answers turns, so every protocol can serve it. `Context` is what its functions know of a turn, the
`signals` are how they steer it. A `Team` or `Chain` of agents answers like one.
"""

from lmos.arc.agent import Agent
from lmos.arc.budget import RateLimit
from lmos.arc.context import Context, Datum, Dep
from lmos.arc.mcp_tools import mcp, mcp_from_environment
from lmos.arc.memory import Memory, MemorySettings, Remembering
from lmos.arc.result import Result
from lmos.arc.signals import Ask, Break, HandOver, Retry, Signal
from lmos.arc.summaries import summarised_by
from lmos.arc.team import Chain, Remote, Team
from lmos.arc.words import Words
from lmos.llm.budget import Budget
from lmos.model import Skill

__all__ = [
    "Agent",
    "Ask",
    "Break",
    "Budget",
    "Chain",
    "Context",
    "Datum",
    "Dep",
    "HandOver",
    "Memory",
    "MemorySettings",
    "RateLimit",
    "Remembering",
    "Remote",
    "Result",
    "Retry",
    "Signal",
    "Skill",
    "Team",
    "Words",
    "mcp",
    "mcp_from_environment",
    "summarised_by",
]
