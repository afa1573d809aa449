"""Routing by vectors: the agent whose texts the message is most like, or nobody.

How much it is each agent's is seen by `lmos.router.scoring`: by the nearest texts, and by a head
that was fitted to all of them, over meaning and letters. Whether anybody is meant at all is a
logistic function of the signs seen, with the weights of a `Fit`. Of two that are as good as alike
the user is asked which.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lmos.model import Candidate, Decision, Embedder, Evidence, RoutableAgent
from lmos.router.conversation import texts_of, weighed
from lmos.router.fit import Fit
from lmos.router.followup import Form, form_of
from lmos.router.offered import choice_of, decision_of, parts_of, tasks_of
from lmos.router.remembering import LENGTH, Remembered
from lmos.router.request import RoutingRequest, explicit
from lmos.router.scoring.seen import Seen, look
from lmos.router.table import RoutingTable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = "vector-2"
MAX_CANDIDATES = 10
#: A greeting is for an agent only where one offers just that.
OFFERED = 0.95
#: The least probability of the agent that a follow-up stays with.
STAYING = 0.6
#: The least probability of two agents together that the user is asked to choose from.
BOTH = 0.8
#: Probability from which a message is for another agent although it has words of one offered.
SURE = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """A text seen against the table, with the probability of each agent that was looked at, and
    that one is meant at all.
    """

    seen: Seen
    shares: "NDArray[np.float64]"
    meant: float

    @property
    def best(self) -> int:
        """The number of the best agent in the table."""
        return int(self.seen.near.agents[self.shares.argmax()])


class VectorRouter:
    """Decides by vectors. A decision depends on request and table alone; those on messages that
    come again are remembered.
    """

    name = "vector"
    #: It asks no language model.
    model = ""

    def __init__(self, embedder: Embedder, fit: Fit | None = None) -> None:
        self._embedder = embedder
        self._fit = fit or Fit()
        self._version = self._fit.version
        self._remembered = Remembered()

    async def decide(self, request: RoutingRequest, table: RoutingTable) -> Decision:
        """Which agent the message is for. `AgentNotFound` when an explicit agent is not there."""
        return (await self._decided(request, table)).but(router=VERSION, fit=self._version)

    async def _decided(self, request: RoutingRequest, table: RoutingTable) -> Decision:
        if request.explicit_agent:
            return explicit(request.explicit_agent, table)
        offered = _offered(request, table)
        choice = choice_of(request.text, offered)
        if choice is None or not (choice.agent is None or choice.agent in table.by_name):
            return await self._ordinary(request, table)
        chosen = decision_of(choice, offered).but(table=table.version)
        if choice.several:
            return chosen.but(**await self._tasks(request.before, offered, table))
        if not choice.named:
            return chosen
        ordinary = await self._ordinary(request, table)
        return ordinary if _elsewhere(ordinary, choice.agent) else chosen

    async def _tasks(
        self, asked: str, offered: Sequence[RoutableAgent], table: RoutingTable
    ) -> dict[str, object]:
        """What of the request that was asked before is whose; nothing where there is none."""
        numbers = [number for a in offered if (number := table.by_name.get(a.name)) is not None]
        if not asked or len(numbers) < 2:
            return {}
        parts = [table.spelling.corrected(part) for part in parts_of(asked)]
        vectors = await self._embedder.embed(parts) if parts else ()
        views = [self._view(table, *pair, numbers) for pair in zip(parts, vectors, strict=True)]
        shares = [[float(v.shares[v.seen.place(n)]) for n in numbers] for v in views]
        tasks = tasks_of(asked, parts, [table.names[number] for number in numbers], shares)
        return {"outcome": "multi", "tasks": tasks}

    async def each(self, texts: Sequence[str], table: RoutingTable) -> list[Decision]:
        """The decision on each text by itself, embedded together."""
        began = time.perf_counter()
        corrected = [table.spelling.corrected(text) for text in texts]
        vectors = await self._embedder.embed(corrected) if table.rows else ()
        timings = {"embed": round((time.perf_counter() - began) * 1000, 3)}
        told: dict[str, Any] = {"timings": timings, "router": VERSION, "fit": self._version}
        views = [
            self._views([pair], table, None) for pair in zip(corrected, vectors, strict=False)
        ] or [[] for _ in texts]
        return [self._choose(None, "whole", table, seen).but(**told) for seen in views]

    async def _ordinary(self, request: RoutingRequest, table: RoutingTable) -> Decision:
        """The decision on a message that is no reply to an offer."""
        began = time.perf_counter()
        form = form_of(request.text)
        texts = texts_of(request, form)
        active = table.by_name.get(request.active_agent or "")
        key = (table.version, form, active, *texts)
        if (known := self._remembered.get(key)) is not None:
            took = round((time.perf_counter() - began) * 1000, 3)
            return known.but(timings={"embed": 0.0, "decide": took})
        texts = [table.spelling.corrected(text) for text in texts]
        vectors = await self._embedder.embed(texts) if table.rows else ()
        embedded = time.perf_counter()
        asked = await table.asked([*vectors])
        views = self._views(list(zip(texts, vectors, strict=False)), asked, active)
        decision = self._choose(active, form, asked, views).but(table=table.version)
        lasting = asked is table and not table.provisional  # an index may say more next time
        if lasting and sum(map(len, texts)) <= LENGTH:
            self._remembered.put(key, decision)
        timings = {
            "embed": round((embedded - began) * 1000, 3),
            "decide": round((time.perf_counter() - embedded) * 1000, 3),
        }
        return decision.but(timings=timings)

    def _views(
        self,
        texts: "Sequence[tuple[str, NDArray[np.float32]]]",
        table: RoutingTable,
        active: int | None,
    ) -> list[_View]:
        """What each text with its vector sees; the first sees also the best agent of the last."""
        if not texts:
            return []
        joined = self._view(table, *texts[-1], () if active is None else (active,))
        kept = joined.best if active is None else active
        return [*(self._view(table, *pair, (kept,)) for pair in texts[:-1]), joined]

    def _view(
        self, table: RoutingTable, text: str, vector: "NDArray[np.float32]", keep: Sequence[int]
    ) -> _View:
        import numpy as np

        seen = look(table, text, vector, keep, self._fit.odds)
        meant = self._fit.scope(table).meant(seen.signs)
        weights = np.exp(self._fit.sharpness * (seen.agents - seen.agents.max()))
        return _View(seen, meant * weights / weights.sum(), meant)

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
        view = alone if active is None else self._weighed(alone, joined, active, form)
        if self._somebody(view) >= self._fit.threshold:
            return self._route(table, view, active, form if view.best != alone.best else None)
        return Decision(
            outcome="out_of_scope",
            candidates=_ranked(view.shares, table, view),
            out_of_scope=_rest(view.meant),
            confidence=1 - view.meant,
            reason="nothing that the agents offer is near enough",
        )

    def _weighed(self, alone: _View, joined: _View, active: int, form: Form) -> _View:
        """What the message by itself sees, given the conversation."""
        import numpy as np

        theirs = joined.seen.near.agents
        places = np.minimum(theirs.searchsorted(alone.seen.near.agents), len(theirs) - 1)
        there = theirs[places] == alone.seen.near.agents
        also = np.where(there, joined.shares[places], 0.0)
        stay = self._fit.conversation.of(form)
        shares = weighed(alone.shares, also, alone.seen.place(active), stay)
        return _View(alone.seen, shares, float(shares.sum()))

    def _somebody(self, view: _View) -> float:
        """The best agent's part of the probability that it or nobody is meant."""
        best = float(view.shares.max())
        return best / (best + 1 - view.meant) if best else 0.0

    def _route(
        self, table: RoutingTable, view: _View, active: int | None, continues: Form | None
    ) -> Decision:
        """The best agent, or the two of which as good as either is meant. `continues` is the form
        of a message that by itself would be another's.
        """
        candidates = _ranked(view.shares, table, view)
        first, second = (*(c.probability for c in candidates), 0.0)[:2]
        routed = Decision(
            outcome="route",
            candidates=candidates,
            out_of_scope=_rest(view.meant),
            confidence=first,
            sticky=active == view.best,
            reason=f"continues the conversation with {candidates[0].agent} ({continues} message)"
            if continues
            else f"most like what {candidates[0].agent} offers",
        )
        both = first + second
        if first >= self._fit.sure * both or both < BOTH or routed.sticky:
            return routed
        names = " or ".join(candidate.agent for candidate in candidates[:2])
        return routed.but(outcome="clarify", confidence=both, reason=f"as much what {names} offers")

    def _social(self, active: int | None, table: RoutingTable, view: _View) -> Decision:
        if active is None:
            reason = "a greeting, with no conversation to continue"
            candidates = _ranked(view.shares, table, view)
            return Decision(
                outcome="out_of_scope",
                candidates=candidates,
                out_of_scope=_rest(view.meant),
                confidence=1 - view.meant,
                reason=reason,
            )
        return self._stay(active, table, view, "social")

    def _stay(self, active: int, table: RoutingTable, view: _View, form: Form) -> Decision:
        shares = view.shares.copy()
        index = view.seen.place(active)
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


def _rest(meant: float) -> float:
    """The probability that nobody is meant."""
    return round(max(0.0, 1 - meant), 4)


def _ranked(
    shares: "NDArray[np.float64]", table: RoutingTable, view: _View
) -> tuple[Candidate, ...]:
    """The most probable agents, each with its most probable capability and its nearest text."""
    order = (-shares).argsort(kind="stable")[:MAX_CANDIDATES]
    return tuple(_candidate(int(i), float(shares[i]), table, view.seen) for i in order)


def _candidate(place: int, share: float, table: RoutingTable, seen: Seen) -> Candidate:
    """The agent at that place of what was seen, with the nearest text of its best capability."""
    near = seen.near
    number = _best(seen.capabilities, near.firsts, place)
    nearest = _best(near.similarities, near.starts, number)
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


def _best(values: "NDArray[Any]", starts: "NDArray[np.int64]", index: int) -> int:
    """The place of the highest value of the part of that index, which begins at `starts[index]`."""
    bounds: list[int] = [*starts[index : index + 2].tolist(), len(values)]
    start, stop = bounds[:2]
    return start if stop == start + 1 else start + int(values[start:stop].argmax())
