"""What the router made of a turn, and what it chooses from."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from lmos.model.base import Model, Tuple
from lmos.model.resources import Capability

Outcome = Literal["route", "clarify", "out_of_scope", "multi"]


class RoutableAgent(Model):
    """An agent as the router sees it: its words, nothing about where it runs."""

    name: str
    description: str = ""
    version: str = ""
    capabilities: Tuple[Capability] = ()


class Evidence(Model):
    """A known text near the message: whose it is, and how near (cosine, -1 to 1)."""

    agent: str
    capability: str = ""
    text: str
    score: float


class Candidate(Model):
    """An agent that might be meant, with the probability (0 to 1) that it is."""

    agent: str
    capability: str = ""
    probability: float
    evidence: Evidence | None = None


class SubTask(Model):
    """A part of what the user wants: in the user's words, and whose it is. `after` are the places
    (from 0) of the sub-tasks whose answers it needs.
    """

    text: str
    agent: str
    capability: str = ""
    after: Tuple[int] = ()


class Decision(Model):
    """The router's answer.

    `candidates` are ranked; the first is taken when the outcome is `route`, the first few are
    offered when it is `clarify`. Their probabilities, those of agents left out for being the least
    probable, and `out_of_scope`, the probability that nobody is meant, add up to 1. `tasks` are the
    ordered parts of a `multi` outcome. `confidence` is the probability of the outcome. `stage`
    tells which part of the router decided and `model` the language model that was asked, where one
    was, at `cost` US dollars. `timings` are milliseconds by stage. `router`, `fit` and `table` tell
    the versions that decided.
    """

    outcome: Outcome
    candidates: Tuple[Candidate] = ()
    out_of_scope: float = 0.0
    tasks: Tuple[SubTask] = ()
    confidence: float = 0.0
    reason: str = ""
    sticky: bool = False
    stage: str = ""
    model: str = ""
    cost: float = 0.0
    router: str = ""
    fit: str = ""
    table: str = ""
    timings: Mapping[str, float] = Field(default_factory=dict)

    @property
    def agent(self) -> str | None:
        """The agent chosen, where one is."""
        return self.candidates[0].agent if self.outcome == "route" and self.candidates else None

    @property
    def capability(self) -> str:
        """The capability recognised in the agent chosen, or empty."""
        return self.candidates[0].capability if self.agent else ""
