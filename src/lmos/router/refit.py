"""Fitting a router to labelled messages, and telling honestly what that brings.

The figures after a fit are cross-validated: each message is decided by numbers that were fitted to
the others alone. The numbers given back are fitted to all of them.
"""

import hashlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lmos.model import Decision, Embedder, Message, RoutableAgent, errors
from lmos.router.advisor import Advisor
from lmos.router.cascade import remaining_of
from lmos.router.evaluation import Report
from lmos.router.evidence import Choice, Reliance, most_probable, weighed
from lmos.router.fit import ENOUGH, Fit, fit_to, telling
from lmos.router.llm import chosen
from lmos.router.request import RoutingRequest
from lmos.router.specs import OUT_OF_SCOPE, Labelled
from lmos.router.table import RoutingTable
from lmos.router.vector import VectorRouter

FOLDS = 5
#: Figures of a report that are compared.
FIGURES = (
    "accuracy",
    "macroF1",
    "outOfScopeAuroc",
    "outOfScopeRecall",
    "ece",
    "brier",
    "clarifyShare",
)
#: Vectors' confidence above which a model is not worth asking, and how many messages it is asked.
CERTAIN = 0.95
MOST = 200
#: The part of a decision that each request to a model has to put right.
WORTH = 0.1
_WEIGHTS = tuple(n / 4 for n in range(33))
_BELOW = tuple(n / 20 for n in range(20))


@dataclass(frozen=True, slots=True)
class Refit:
    """The numbers found, to how many messages, and the figures with those before and, cross-
    validated, with those after; the same of the decisions that a language model was asked for.
    """

    fit: Fit
    rows: int
    before: dict[str, Any]
    after: dict[str, Any]
    model: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Heard:
    """What a model chose where the vectors were not sure, and what would have been right."""

    near: Decision
    choice: Choice
    label: str

    def right(self, reliance: Reliance) -> bool:
        """Whether the decision is right that leans on the model so."""
        return _is(most_probable(weighed(self.near, self.choice, reliance.weight), reliance), self)

    @property
    def alone(self) -> bool:
        """Whether the vectors alone are right."""
        return _is(self.near, self)

    @property
    def chosen(self) -> str:
        """What the model chose, as a label."""
        return ";".join(self.choice.agents) or OUT_OF_SCOPE

    def likelihood(self, weight: float) -> float:
        """The logarithm of the probability that the weighed decision gives to what is right."""
        after = weighed(self.near, self.choice, weight)
        shares = {c.agent: c.probability for c in after.candidates}
        return math.log(max({**shares, OUT_OF_SCOPE: after.out_of_scope}.get(self.label, 0), 1e-3))


async def refit(
    agents: Sequence[RoutableAgent],
    labelled: Sequence[Labelled],
    embedder: Embedder,
    start: Fit,
    advisor: Advisor | None = None,
) -> Refit:
    """Fits to the messages that tell something new of the agents, from `start` on; with an
    `advisor` also how far to rely on its model. `InvalidInput` when there are too few.
    """
    table = await RoutingTable.build(agents, embedder)
    rows = _mixed(telling(labelled, table))
    _check(rows, labelled)
    fit = await fit_to(table, rows, embedder, start)
    before, after = Report(), Report()
    await _decide(VectorRouter(embedder, start), table, rows, before)
    for fold in range(FOLDS):
        others = [row for place, row in enumerate(rows) if place % FOLDS != fold]
        other = await fit_to(table, others, embedder, start)
        await _decide(VectorRouter(embedder, other), table, rows[fold::FOLDS], after)
    told: dict[str, Any] = {}
    if advisor:
        heard = await _heard(VectorRouter(embedder, fit), table, rows, advisor)
        fit = fit.but(model=reliance_of(heard, start.model))
        told = _advice(heard, start.model) | {"model": advisor.name}
    return Refit(fit, len(rows), _figures(before), _figures(after), told)


def _check(rows: Sequence[Labelled], labelled: Sequence[Labelled]) -> None:
    least = -(-ENOUGH * FOLDS // (FOLDS - 1))
    if len(rows) < least:
        raise errors.InvalidInput(
            f"{len(rows)} of {len(labelled)} labelled messages tell something new of these agents, "
            f"and it takes {least}; messages that are examples of the agents, that follow others "
            f"in a conversation, or are of agents not there do not count"
        )


def reliance_of(heard: Sequence[Heard], start: Reliance) -> Reliance:
    """How far to rely on a model by what it chose; as before where that is too little to tell. It
    is asked up to the confidence at which each request puts enough right.
    """
    if len(heard) < ENOUGH:
        return start

    def likely(weight: float) -> float:
        held = (weight - start.weight) ** 2 / 8
        return sum(one.likelihood(weight) for one in heard) - held

    weighing = start.but(weight=max(_WEIGHTS, key=likely))

    def gain(below: float) -> float:
        asked = [one for one in heard if one.near.confidence < below]
        return sum(one.right(weighing) - one.alone - WORTH for one in asked)

    gains = {below: round(gain(below), 6) for below in _BELOW}
    best = [below for below, found in gains.items() if found == max(gains.values())]
    return weighing.but(below=min(best, key=lambda below: abs(below - start.below)))


async def _heard(
    router: VectorRouter, table: RoutingTable, rows: Sequence[Labelled], advisor: Advisor
) -> list[Heard]:
    """What the model chooses of the messages that the vectors are least sure of. `ModelFailed` when
    it answers for none.
    """
    requests = [(row, RoutingRequest((Message(role="user", content=row.text),))) for row in rows]
    unsure = [(row, r, await router.decide(r, table)) for row, r in requests]
    unsure = [one for one in unsure if one[2].confidence < CERTAIN and one[2].candidates]
    found: list[Heard] = []
    failed: errors.LmosError | None = None
    for row, request, near in sorted(unsure, key=lambda one: one[2].confidence)[:MOST]:
        try:
            advice = await chosen(advisor, request, table, remaining_of(near.candidates))
        except errors.ModelFailed as error:
            failed = error
        else:
            found.append(Heard(near, advice.answer, row.agent))
    if failed and not found:
        raise failed
    return found


def _advice(heard: Sequence[Heard], start: Reliance) -> dict[str, Any]:
    """How often the decisions that a model was asked for are right: by vectors, by the model, and
    weighed with numbers fitted to the others.
    """
    weighed_right = 0
    for fold in range(FOLDS):
        others = [one for place, one in enumerate(heard) if place % FOLDS != fold]
        reliance = reliance_of(others, start)
        weighed_right += sum(
            one.right(reliance) if one.near.confidence < reliance.below else one.alone
            for one in heard[fold::FOLDS]
        )
    return {
        "asked": len(heard),
        "rightByVectors": sum(one.alone for one in heard),
        "rightByModel": sum(
            (one.choice.agents or (OUT_OF_SCOPE,)) == (one.label,) for one in heard
        ),
        "rightWeighed": weighed_right,
    }


async def _decide(
    router: VectorRouter, table: RoutingTable, rows: Sequence[Labelled], report: Report
) -> None:
    for row in rows:
        began = time.perf_counter()
        request = RoutingRequest((Message(role="user", content=row.text),))
        decision = await router.decide(request, table)
        report.add(row, decision, (time.perf_counter() - began) * 1000)


def _mixed(rows: Sequence[Labelled]) -> list[Labelled]:
    """The rows so that every fifth is a fair part of each label, the same at every run."""

    def place(row: Labelled) -> tuple[str, str]:
        return row.agent, hashlib.sha256(row.text.encode()).hexdigest()

    return sorted(rows, key=place)


def _figures(report: Report) -> dict[str, Any]:
    data = report.data()
    return {name: data[name] for name in FIGURES}


def _is(decision: Decision, heard: Heard) -> bool:
    return (decision.agent or decision.outcome) == heard.label
