"""Routing by the cheapest stage that is sure: explicit choice, vectors, a language model.

Vectors decide most messages in milliseconds and for nothing. Only where their confidence is below
the fitted one, or where a message seems to want several things of several agents, a language model
is asked, with the agents that remain; its choice is weighed against what the vectors say. Without
a language model, or where it fails or time is short, the vectors' decision stands.
"""

import re
from typing import TYPE_CHECKING

from lmos.llm import resolve_model
from lmos.model import Candidate, Decision, Embedder, errors
from lmos.router.advisor import Advisor, remaining
from lmos.router.evidence import most_probable, weighed
from lmos.router.fit import Fit
from lmos.router.followup import form_of
from lmos.router.hybrid import required
from lmos.router.llm import SETTLED, chosen
from lmos.router.request import RoutingRequest
from lmos.router.table import RoutingTable
from lmos.router.vector import VectorRouter

if TYPE_CHECKING:
    from pydantic_ai.models import Model

VERSION = "cascade-1"
#: The share of the candidates' probability that those told to the model have, and at least how
#: many are told.
TOLD = 0.98
FEWEST = 3
#: Seconds that have to remain of a turn for a model to be asked.
SHORTEST = 1.0
#: Words of a part of a message that can be a wish of its own, and how many parts are looked at.
PART = 3
PARTS = 4

_BREAKS = re.compile(
    r"(?:[.?!;]+\s+|,?\s+\b(?:and|also|then|plus|additionally|furthermore)\b\s+)"
    r"(?:(?:and|also|then|please|additionally)\s+)*",
    re.IGNORECASE,
)


class CascadeRouter:
    """Decides by vectors, and by a model (a spec, a pydantic-ai model, or none) where they are not
    sure. `timeout` is in seconds and for all rounds of a question together.
    """

    name = "cascade"

    def __init__(
        self,
        embedder: Embedder,
        model: "str | Model | None" = None,
        *,
        timeout: float = 5.0,
        fit: Fit | None = None,
    ) -> None:
        self._vector = VectorRouter(embedder, fit)
        found = resolve_model(model).model if isinstance(model, str) else model
        self._advisor = None if found is None else Advisor(found, timeout=timeout)
        self._reliance = (fit or Fit()).model

    @property
    def model(self) -> str:
        """The name of the language model that it may ask, or empty."""
        return self._advisor.name if self._advisor else ""

    async def decide(self, request: RoutingRequest, table: RoutingTable) -> Decision:
        """Which agent the message is for. `AgentNotFound` when an explicit agent is not there; a
        model that fails is no error.
        """
        near = await self._vector.decide(request, table)
        near = near.but(stage=near.stage or "vector")
        return (await self._further(request, table, near)).but(router=VERSION)

    async def _further(
        self, request: RoutingRequest, table: RoutingTable, near: Decision
    ) -> Decision:
        """What the stages after the vectors make of their decision."""
        advisor = self._advisor
        if advisor is None or _settled(request, near):
            return near
        several = await self._several(request.text, table)
        unsure = near.confidence < self._reliance.below
        if not (several or unsure):
            return near
        if request.deadline and remaining(request.deadline) < SHORTEST:
            return near.but(reason=f"{near.reason}; no time to ask {advisor.name}")
        try:
            if several:
                return await self._parts(advisor, request, table, near)
            return await self._choice(advisor, request, table, near)
        except (errors.ModelFailed, errors.DeadlineExceeded) as failed:
            return near.but(
                reason=f"{near.reason}; {failed.message}",
                model=advisor.name,
                cost=float(failed.details.get("cost", 0.0)),
            )

    async def _several(self, text: str, table: RoutingTable) -> bool:
        """Whether parts of the message are, each by itself, surely for different agents."""
        parts = wishes(text)
        if len(parts) < 2 or len(table.names) < 2:
            return False
        found = await self._vector.each(parts, table)
        sure = {d.agent for d in found if d.agent and d.confidence >= self._reliance.below}
        return len(sure) > 1

    async def _parts(
        self, advisor: Advisor, request: RoutingRequest, table: RoutingTable, near: Decision
    ) -> Decision:
        """The decision by what the model says is required. Where that is one thing only, a sure
        decision of the vectors stands.
        """
        found = await required(advisor, self._vector, request, table, near)
        if found.outcome == "multi" or near.confidence < self._reliance.below:
            return found
        return near.but(model=found.model, cost=found.cost, timings=found.timings)

    async def _choice(
        self, advisor: Advisor, request: RoutingRequest, table: RoutingTable, near: Decision
    ) -> Decision:
        """What the model's choice among the agents that remain makes of the decision."""
        advice = await chosen(advisor, request, table, remaining_of(near.candidates))
        after = weighed(near, advice.answer, self._reliance.weight)
        decision = most_probable(after, self._reliance).but(reason=advice.answer.reason)
        sticky = decision.agent is not None and decision.agent == request.active_agent
        return advice.on(decision.but(sticky=sticky), "llm")


def _settled(request: RoutingRequest, near: Decision) -> bool:
    """Whether there is nothing that a model could tell: no choice, no wish, or a few words that
    go on with the conversation.
    """
    form = form_of(request.text)
    continues = form == "elliptic" and near.sticky
    return near.stage in SETTLED or not near.candidates or form == "social" or continues


def wishes(text: str) -> list[str]:
    """The parts of a message that may each be a wish, if there are several."""
    parts = [part.strip(" ,.?!;") for part in _BREAKS.split(text)]
    return [part for part in parts if len(part.split()) >= PART][:PARTS]


def remaining_of(candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """The most probable candidates that together have nearly all of the probability."""
    enough = TOLD * sum(c.probability for c in candidates)
    held = 0.0
    for number, candidate in enumerate(candidates, 1):
        held += candidate.probability
        if held >= enough and number >= FEWEST:
            return candidates[:number]
    return candidates
