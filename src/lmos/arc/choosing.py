"""Which use case a message is for, by what the use cases say of themselves.

The router's vectors do the finding: descriptions and examples of the use cases against the message
and the one before. Whatever holds in the turn (`facts_of`) decides which use cases are there.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lmos.arc.adl import Facts, UseCase, present
from lmos.arc.context import Context
from lmos.arc.progress import Progress
from lmos.model import Capability, Decision, RoutableAgent, errors
from lmos.router import RoutingRequest, RoutingTable, VectorRouter

if TYPE_CHECKING:
    from lmos.model import Embedder

#: Probability from which the nearest use case needs no second opinion.
SURE = 0.8
#: In one turn of so many the condition `sometimes` holds.
SOMETIMES = 3


@dataclass(frozen=True, slots=True)
class Choice:
    """The use cases of the turn, nearest first. `meant` when one of them is at all, `sure` when the
    first needs no second opinion, `continues` when the message goes on with the current one.
    """

    ranked: tuple[UseCase, ...]
    meant: bool
    sure: bool
    continues: bool
    doubt: float


class Chooser:
    """Finds use cases by meaning."""

    def __init__(self, cases: Sequence[UseCase], embedder: "Callable[[], Embedder]") -> None:
        self._cases = cases
        self._make = embedder
        self._found: tuple[VectorRouter, RoutingTable, Embedder] | None = None

    async def load(self) -> "tuple[VectorRouter, RoutingTable, Embedder]":
        """Embeds the use cases; the first turn does it otherwise."""
        if self._found is None:
            embedder = self._make()
            agents = {case.id: _routable(case) for case in self._cases if not case.sub}
            table = await RoutingTable.build(list(agents.values()), embedder)
            self._found = (VectorRouter(embedder), table, embedder)
        return self._found

    async def choose(
        self, ctx: Context, facts: Facts, active: str, *, all_without: bool = False
    ) -> Choice:
        """The use cases for the turn's message; `active` is the one followed before. Where no
        embedder is installed they are all there with `all_without`, else it is `MissingExtra`.
        """
        there = {case.id: case for case in present(self._cases, facts)}
        request = RoutingRequest(
            messages=ctx.messages, active_agent=active if active in there else None
        )
        try:
            router, table, _ = await self.load()
        except errors.MissingExtra:
            if not all_without:
                raise
            return Choice(tuple(there.values()), False, False, False, 0.0)
        with ctx.watch.routing() as seen:
            decision = await router.decide(request, table)
            seen.told(decision)
        ids = [c.agent for c in decision.candidates if c.agent in there]
        continues = decision.sticky and decision.agent == active
        return Choice(
            ranked=tuple(there[i] for i in dict.fromkeys([*ids, *there])),
            meant=decision.outcome != "out_of_scope" and bool(ids),
            sure=_sure(decision, ids),
            continues=continues,
            doubt=decision.confidence if decision.outcome == "out_of_scope" else 0.0,
        )

    async def nearest(self, text: str, options: Sequence[str]) -> tuple[int, float]:
        """The index of the option nearest to the text, and its cosine."""
        _, _, embedder = await self.load()
        vectors = await embedder.embed([text, *options])
        near = vectors[1:] @ vectors[0]
        best = int(near.argmax())
        return best, float(near[best])


def facts_of(ctx: Context, progress: Progress | None = None) -> Facts:
    """What holds in the turn: the channel, the tenant, what the application or the user's profile
    says is true, `sometimes` in one turn of three; the user's text; the use cases used so far; the
    role asked for.
    """
    names = {ctx.channel, ctx.tenant}
    for entries in (ctx.system, ctx.user.profile):
        names |= {key for key, value in entries.items() if value.lower() == "true"}
    if zlib.crc32(ctx.turn.turn_id.encode()) % SOMETIMES == 0:
        names.add("sometimes")
    return Facts(
        names=frozenset(filter(None, names)),
        text=ctx.text,
        used=progress.used if progress else None,
        role=ctx.system.get("role", ""),
    )


def values_of(ctx: Context) -> dict[str, Any]:
    """What `{{name}}` and code of a document may use in the turn: what the application says, and
    who speaks and where.
    """
    return {
        **ctx.system,
        "user": {"id": ctx.user.id, **ctx.user.profile},
        "tenant": ctx.tenant,
        "channel": ctx.channel,
        "system": dict(ctx.system),
    }


def _sure(decision: Decision, ids: Sequence[str]) -> bool:
    first = decision.agent is not None and ids[:1] == [decision.agent]
    return first and decision.confidence >= SURE


def _routable(case: UseCase) -> RoutableAgent:
    capability = Capability(
        id=case.id,
        name=case.id,
        version="1.0.0",
        description=case.description,
        examples=case.examples,
    )
    return RoutableAgent(name=case.id, capabilities=(capability,))
