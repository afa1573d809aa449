"""Building a routing table from the agents and from the table before it.

What is new is worked out on the event loop in short pieces, its texts are embedded, and the arrays
are laid out in a thread: those of agents that did not change are copied from the table before.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from lmos.model import Embedder, RoutableAgent
from lmos.router import table
from lmos.router.breath import Breath
from lmos.router.index import centres
from lmos.router.index.centres import Centres, firsts, ranges
from lmos.router.scoring.learned import Learned, learn, learnable
from lmos.router.spelling import Spelling
from lmos.router.texts import FEWEST, Arena, Block, Rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]
    Vectors = NDArray[np.float32]

T = TypeVar("T", bound="np.generic")

#: Texts that are embedded at a time.
BATCH = 256
#: How many times as many texts as a table has its arena may have.
FULL = 2


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """The blocks of a table, the number that each has in the table before (-1: it is new), the
    blocks of that table that are gone, and the arena, which is a new one when `moved`.
    """

    blocks: list[Block]
    before: "Numbers"
    gone: list[Block]
    arena: Arena
    moved: bool = False

    @property
    def fresh(self) -> list[Block]:
        return [self.blocks[i] for i in (self.before < 0).nonzero()[0]]


class _Other(Exception):
    """The model of that name gives vectors of other dimensions than it did."""


async def built(
    agents: Sequence[RoutableAgent], embedder: Embedder, previous: "table.RoutingTable | None"
) -> "table.RoutingTable":
    """The table of these agents; see `RoutingTable.build`."""
    try:
        return await _built(agents, embedder, previous)
    except _Other:
        return await _built(agents, embedder, None)


async def _built(
    agents: Sequence[RoutableAgent], embedder: Embedder, previous: "table.RoutingTable | None"
) -> "table.RoutingTable":
    old = previous if previous and previous.embedder == embedder.name else None
    plan = await _planned(agents, old)
    if old and len(old.arena) > FULL * sum(len(block.texts) for block in plan.blocks) + FEWEST:
        plan = await _moved(plan, old)
    await _embed(plan.fresh, embedder, plan.arena)
    spelling = await _spelling(plan, old)
    places = await _places(plan.blocks if plan.moved else plan.fresh, plan.arena)
    return await asyncio.to_thread(_laid, plan, places, spelling, embedder.name, old)


async def _planned(agents: Sequence[RoutableAgent], old: "table.RoutingTable | None") -> _Plan:
    """Which agents are as they were, and which are new."""
    import numpy as np

    breath = Breath()
    blocks: list[Block] = []
    before = np.full(len(agents), -1, np.int64)
    by_name = old.by_name if old else {}
    for i, agent in enumerate(agents):
        number = by_name.get(agent.name)
        if old and number is not None and old.blocks[number].agent == agent:
            before[i] = number
            blocks.append(old.blocks[number])
        else:
            blocks.append(Block.of(agent))
        if breath.due:
            await breath.taken()
    kept = set(before.tolist())
    gone = [block for i, block in enumerate(old.blocks) if i not in kept] if old else []
    return _Plan(blocks, before, gone, old.arena if old else Arena())


async def _moved(plan: _Plan, old: "table.RoutingTable") -> _Plan:
    """The plan with an arena that has of the old one only what is still said."""
    import numpy as np

    breath, arena = Breath(), Arena()
    for block in plan.blocks:
        known = {t: place for t in block.texts if (place := old.arena.place(t)) is not None}
        places = np.array(list(known.values()), np.int64)
        arena.add(list(known), old.arena.at(places), len(old.places))
        if breath.due:
            await breath.taken()
    return replace(plan, arena=arena, moved=True)


async def _embed(blocks: Sequence[Block], embedder: Embedder, arena: Arena) -> None:
    """Puts the vectors of the texts that are not in the arena there."""
    breath = Breath()
    new: dict[str, None] = {}
    for block in blocks:
        new.update((text, None) for text in block.texts if arena.place(text) is None)
        if breath.due:
            await breath.taken()
    texts = list(new)
    for start in range(0, len(texts), BATCH):
        part = texts[start : start + BATCH]
        vectors = await embedder.embed(part)
        if arena.d not in (0, vectors.shape[1]):
            raise _Other
        arena.add(part, vectors, len(texts) - start)
        await breath.taken()


async def _spelling(plan: _Plan, old: "table.RoutingTable | None") -> Spelling:
    breath = Breath()
    changing = (old.spelling if old else Spelling()).changing()
    for blocks, count in ((plan.fresh, changing.come), (plan.gone, changing.go)):
        for block in blocks:
            count(block.texts)
            if breath.due:
                await breath.taken()
    return await asyncio.to_thread(changing.done)


async def _places(blocks: Sequence[Block], arena: Arena) -> "Numbers":
    """Where the vectors of the blocks' texts lie, one block after the other."""
    import numpy as np

    breath = Breath()
    found: list[int] = []
    for block in blocks:
        found += (place for text in block.texts if (place := arena.place(text)) is not None)
        if breath.due:
            await breath.taken()
    return np.array(found, np.int64)


# --- in a thread ----------------------------------------------------------------------------------


def _laid(
    plan: _Plan,
    fresh: "Numbers",
    spelling: Spelling,
    embedder: str,
    old: "table.RoutingTable | None",
) -> "table.RoutingTable":
    """The table, given the places of the new blocks' texts."""
    import numpy as np

    blocks = plan.blocks
    none = np.zeros(0, np.int64)
    sizes = np.concatenate([none, *(block.sizes for block in blocks)])
    capabilities = _lengths(blocks)
    texts = np.array([len(block.texts) for block in blocks], np.int64)
    before = (_rows_before(old), old.places) if old else (none, none)
    kept = np.full_like(plan.before, -1) if plan.moved else plan.before
    places = _merged(kept, texts, fresh, *before)
    numbers = np.repeat(np.arange(len(sizes)), sizes)
    made = table.RoutingTable(
        blocks=tuple(blocks),
        rows=Rows(blocks, np.append(firsts(texts), texts.sum())),
        numbers=numbers,
        starts=firsts(sizes),
        examples=_examples(blocks, sizes),
        firsts=firsts(capabilities),
        owners=np.repeat(np.arange(len(blocks)), capabilities),
        places=places,
        arena=plan.arena,
        centres=_centres(plan, sizes, places, old),
        spelling=spelling,
        learned=_learned(plan, places, numbers, old),
        embedder=embedder,
        version=_digest(blocks, embedder),
    )
    made.prepare()
    return made


def _rows_before(old: "table.RoutingTable") -> "Numbers":
    """The first row of each agent of a table."""
    return old.starts[old.firsts]


def _merged(
    before: "Numbers", counts: "Numbers", fresh: "NDArray[T]", starts: "Numbers", of: "NDArray[T]"
) -> "NDArray[T]":
    """Rows of each agent, `counts` many: those of an agent that was there from `of`, where they
    begin at `starts`; those of new agents from `fresh`, where they follow each other.
    """
    import numpy as np

    new = before < 0
    found: NDArray[T] = np.empty((int(counts.sum()), *of.shape[1:]), of.dtype)
    begins = firsts(counts)
    found[ranges(begins[new], counts[new])] = fresh
    kept = before[~new]
    found[ranges(begins[~new], counts[~new])] = of[ranges(starts[kept], counts[~new])]
    return found


def _centres(
    plan: _Plan, sizes: "Numbers", places: "Numbers", old: "table.RoutingTable | None"
) -> Centres | None:
    """The centres of a table that needs some: of agents that were there those of the table before,
    unless most are new.
    """
    import numpy as np

    if len(places) <= table.ROWS or len(sizes) <= table.CAPABILITIES:
        return None
    at, before, known = plan.arena.at, plan.before, old.centres if old else None
    if old is None or known is None or (before < 0).mean() > 0.5:
        basis = centres.basis_of(at(places[:: max(1, len(places) // centres.SAMPLE)]))
        before, begins = np.full_like(before, -1), np.zeros(0, np.int64)
        coarse = np.zeros((0, basis.shape[1]), np.float32)
    else:
        basis, coarse, begins = known.basis, known.coarse, known.owners.searchsorted(old.firsts)
    new = np.repeat(before < 0, [len(block.keys) for block in plan.blocks])
    fresh = centres.placed(at, places[np.repeat(new, sizes)], sizes[new], basis)
    counts = centres.counts_of(sizes)
    per_agent = np.add.reduceat(counts, firsts(_lengths(plan.blocks)))
    merged = _merged(before, per_agent, fresh, begins, coarse)
    return Centres(basis, merged, np.repeat(np.arange(len(counts)), counts))


def _learned(
    plan: _Plan, places: "Numbers", numbers: "Numbers", old: "table.RoutingTable | None"
) -> Learned:
    """What is learned of the texts; of the same agents in the same order it is what was."""
    import numpy as np

    if old and np.array_equal(plan.before, np.arange(len(old.blocks))):
        return old.learned
    if not learnable(numbers):
        return Learned()
    texts = [text for block in plan.blocks for text in block.texts]
    said = np.concatenate([np.zeros(0, bool), *(block.said for block in plan.blocks)])
    return learn(texts, plan.arena.at, places, numbers, said)


def _examples(blocks: Sequence[Block], sizes: "Numbers") -> "Numbers":
    """How many examples each capability has."""
    import numpy as np

    said = np.concatenate([np.zeros(0, np.int64), *(block.said for block in blocks)])
    found: Numbers = np.diff(np.append(0, said.cumsum())[np.append(0, sizes.cumsum())])
    return found


def _lengths(blocks: Sequence[Block]) -> "Numbers":
    """How many capabilities each has."""
    import numpy as np

    return np.array([len(block.keys) for block in blocks], np.int64)


def _digest(blocks: Sequence[Block], embedder: str) -> str:
    found = hashlib.sha256(embedder.encode())
    for block in blocks:
        found.update(block.digest)
    return found.hexdigest()[:12]
