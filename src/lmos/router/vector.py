"""Routing by vectors: the agent whose texts lie nearest to the message, or nobody.

A capability's score is the mean of its nearest text and of its three nearest; an agent's is that
of its best capability. Whether anybody is meant at all is a logistic function of the best score and
of its lead over the next agent, and of how many texts the best capability has: the more there are,
the nearer the nearest lies by chance. Its weights and the temperature of the agents' shares were
fitted on channels drawn from CLINC150 (`bench/router.py --only fit --channels 40`), never on the
examples of this project.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmos.model import Candidate, Decision, Embedder, Evidence, RoutableAgent
from lmos.router.followup import Form, form_of
from lmos.router.offered import choice_of, decision_of
from lmos.router.request import RoutingRequest, explicit
from lmos.router.table import Near, RoutingTable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = "vector-1"
MAX_CANDIDATES = 10
#: A greeting is for an agent only where one offers just that.
OFFERED = 0.95
#: The least probability of the agent that a follow-up stays with.
STAYING = 0.6
#: Probability from which a message is for another agent although it has words of one offered.
SURE = 0.8


@dataclass(frozen=True, slots=True)
class Fit:
    """Fitted numbers: the weights of what tells whether anybody is meant, and the temperature at
    which the agents' shares are a softmax of their scores.
    """

    score: float = 15.39
    lead: float = 3.15
    texts: float = -0.81
    bias: float = -3.96
    temperature: float = 0.04

    def meant(self, score: float, lead: float, texts: int) -> float:
        """The probability (0 to 1) that the best agent is meant rather than nobody."""
        z = self.score * score + self.lead * lead + self.texts * math.log(texts) + self.bias
        return 1 / (1 + math.exp(-z))


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """A text seen against what of the table may matter to it: the scores of the agents and of the
    capabilities that are near, and the probability that one is meant.
    """

    near: Near
    scores: "NDArray[np.float32]"
    capabilities: "NDArray[np.float32]"
    meant: float

    @property
    def best(self) -> int:
        """The number of the best agent in the table."""
        return int(self.near.agents[self.scores.argmax()])

    def place(self, agent: int) -> int:
        """Where among the scores that agent's is; it must be among those kept."""
        return int(self.near.agents.searchsorted(agent))


class VectorRouter:
    """Decides by vectors. Holds no state: a decision depends on request and table alone."""

    name = "vector"

    def __init__(self, embedder: Embedder, fit: Fit | None = None) -> None:
        self._embedder = embedder
        self._fit = fit or Fit()

    async def decide(self, request: RoutingRequest, table: RoutingTable) -> Decision:
        """Which agent the message is for. `AgentNotFound` when an explicit agent is not there."""
        if request.explicit_agent:
            return explicit(request.explicit_agent, table).but(router=VERSION)
        offered = _offered(request, table)
        choice = choice_of(request.text, offered)
        if choice is None or not (choice.agent is None or choice.agent in table.by_name):
            return await self._ordinary(request, table)
        chosen = decision_of(choice, offered).but(router=VERSION, table=table.version)
        if not choice.named:
            return chosen
        ordinary = await self._ordinary(request, table)
        return ordinary if _elsewhere(ordinary, choice.agent) else chosen

    async def _ordinary(self, request: RoutingRequest, table: RoutingTable) -> Decision:
        """The decision on a message that is no reply to an offer."""
        form = form_of(request.text)
        began = time.perf_counter()
        texts = [table.spelling.corrected(text) for text in _texts(request, form)]
        vectors = await self._embedder.embed(texts) if table.rows else ()
        embedded = time.perf_counter()
        active = table.by_name.get(request.active_agent or "")
        decision = self._choose(active, form, table, self._views(list(vectors), table, active))
        timings = {
            "embed": round((embedded - began) * 1000, 3),
            "decide": round((time.perf_counter() - embedded) * 1000, 3),
        }
        return decision.but(timings=timings, router=VERSION, table=table.version)

    def _views(
        self, vectors: "Sequence[NDArray[np.float32]]", table: RoutingTable, active: int | None
    ) -> list[_View]:
        """What each text sees; the first sees also the best agent of the last."""
        if not vectors:
            return []
        joined = self._view(table.near(vectors[-1], () if active is None else (active,)))
        kept = joined.best if active is None else active
        return [*(self._view(table.near(vector, (kept,))) for vector in vectors[:-1]), joined]

    def _view(self, near: Near) -> _View:
        import numpy as np

        capabilities = _per_capability(near)
        scores = np.maximum.reduceat(capabilities, near.firsts)
        ordered = np.sort(scores)[::-1]
        lead = float(ordered[0] - ordered[1]) if len(ordered) > 1 else 0.15
        start, stop = _part(near.starts, int(capabilities.argmax()), len(near.rows))
        meant = self._fit.meant(float(ordered[0]), lead, stop - start)
        return _View(near, scores, capabilities, meant)

    def _choose(
        self, active: int | None, form: Form, table: RoutingTable, views: list[_View]
    ) -> Decision:
        if not views:
            return Decision(
                outcome="out_of_scope",
                out_of_scope=1.0,
                confidence=1.0,
                reason="there are no agents",
            )
        alone, joined = views[0], views[-1]
        if form == "social" and alone.meant < OFFERED:
            return self._social(active, table, alone)
        if active is None and len(views) > 1 and joined.meant >= 0.5:
            # a caller that brings its own history: whose matter it was is seen from the words
            active = joined.best
        if active is not None and _continues(form, alone, joined, active):
            return self._stay(active, table, joined, form)
        if alone.meant >= 0.5:
            candidates = _ranked(self._shares(alone), table, alone)
            reason = f"nearest to what {candidates[0].agent} offers"
            return Decision(
                outcome="route",
                candidates=candidates,
                out_of_scope=_rest(alone.meant),
                confidence=candidates[0].probability,
                sticky=active is not None and table.names[active] == candidates[0].agent,
                reason=reason,
            )
        return Decision(
            outcome="out_of_scope",
            candidates=_ranked(self._shares(alone), table, alone),
            out_of_scope=_rest(alone.meant),
            confidence=1 - alone.meant,
            reason="nothing that the agents offer is near enough",
        )

    def _social(self, active: int | None, table: RoutingTable, view: _View) -> Decision:
        if active is None:
            reason = "a greeting, with no conversation to continue"
            candidates = _ranked(self._shares(view), table, view)
            return Decision(
                outcome="out_of_scope",
                candidates=candidates,
                out_of_scope=_rest(view.meant),
                confidence=1 - view.meant,
                reason=reason,
            )
        return self._stay(active, table, view, "social")

    def _stay(self, active: int, table: RoutingTable, view: _View, form: Form) -> Decision:
        shares = self._shares(view)
        index = view.place(active)
        others = float(shares.sum() - shares[index])
        kept = max(float(shares[index]), STAYING)
        shares *= min(1.0, (1 - kept) / max(others, 1e-9))
        shares[index] = kept
        return Decision(
            outcome="route",
            candidates=_ranked(shares, table, view),
            out_of_scope=_rest(float(shares.sum())),
            confidence=kept,
            sticky=True,
            reason=f"continues the conversation with {table.names[active]} ({form} message)",
        )

    def _shares(self, view: _View) -> "NDArray[np.float64]":
        """The probability of each agent; together that somebody is meant."""
        import numpy as np

        weights = np.exp((view.scores.astype(float) - view.scores.max()) / self._fit.temperature)
        shares: NDArray[np.float64] = view.meant * weights / weights.sum()
        return shares


def _offered(request: RoutingRequest, table: RoutingTable) -> list[RoutableAgent]:
    """The agents offered, in their order; one that has gone since keeps its place."""
    if not request.offered:
        return []
    there = {name: table.by_name.get(name) for name in request.offered}
    return [
        RoutableAgent(name=name) if number is None else table.agents[number]
        for name, number in there.items()
    ]


def _elsewhere(decision: Decision, agent: str | None) -> bool:
    """Whether the message by itself is surely for another agent."""
    other = decision.agent not in (None, agent) and not decision.sticky
    return other and decision.confidence >= SURE


def _texts(request: RoutingRequest, form: Form) -> list[str]:
    """The message by itself and, where it may continue, together with what was said before."""
    if request.before and form != "social":
        return [request.text, f"{request.before} {request.text}"]
    return [request.text]


def _continues(form: Form, alone: _View, joined: _View, active: int) -> bool:
    """Whether the message goes on with the active agent, rather than being somebody's by itself.

    What cannot stand alone stays, unless by itself it points clearly at another. A sentence that
    points back stays when by itself it is nobody's, and the active agent's together with what came
    before.
    """
    if form == "elliptic":
        lead = alone.scores.max() - alone.scores[alone.place(active)]
        clear = alone.meant >= 0.8 and lead > 0.15
        return not clear
    if alone.meant >= 0.5:
        return False
    return form == "referring" and joined.meant >= 0.5 and joined.best == active


def _per_capability(near: Near) -> "NDArray[np.float32]":
    """The mean of a capability's nearest text and of its three nearest (or as many as it has).
    Texts equally near count as one.
    """
    import numpy as np

    left = near.similarities.copy()
    nearest = np.maximum.reduceat(left, near.starts)
    total, count, best = nearest.copy(), np.ones_like(nearest), nearest
    for _ in range(2):
        left[left >= best[near.numbers]] = -np.inf
        best = np.maximum.reduceat(left, near.starts)
        there = np.isfinite(best)
        total[there] += best[there]
        count += there
    scores: NDArray[np.float32] = ((nearest + total / count) / 2).astype(np.float32)
    return scores


def _rest(meant: float) -> float:
    """The probability that nobody is meant."""
    return round(max(0.0, 1 - meant), 4)


def _ranked(
    shares: "NDArray[np.float64]", table: RoutingTable, view: _View
) -> tuple[Candidate, ...]:
    """The most probable agents, each with its nearest capability and text."""
    order = (-shares).argsort(kind="stable")[:MAX_CANDIDATES]
    return tuple(_candidate(int(i), float(shares[i]), table, view) for i in order)


def _candidate(index: int, share: float, table: RoutingTable, view: _View) -> Candidate:
    """The agent with the capability that is meant most, and the nearest text of it."""
    near = view.near
    first, end = _part(near.firsts, index, len(near.starts))
    number = first + int(view.capabilities[first:end].argmax())
    start, stop = _part(near.starts, number, len(near.rows))
    nearest = start + int(near.similarities[start:stop].argmax())
    row = table.rows[int(near.rows[nearest])]
    evidence = Evidence(
        agent=row.agent,
        capability=row.capability,
        text=row.text,
        score=round(float(near.similarities[nearest]), 4),
    )
    return Candidate(
        agent=row.agent, capability=row.capability, probability=round(share, 4), evidence=evidence
    )


def _part(starts: "NDArray[np.int64]", index: int, total: int) -> tuple[int, int]:
    """Where the part of that index begins and where it ends."""
    return int(starts[index]), int(starts[index + 1]) if index + 1 < len(starts) else total
