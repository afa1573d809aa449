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
from lmos.router.scoring import settling
from lmos.router.scoring.learned import Learned, possible
from lmos.router.scoring.lexical import D, Growing, Lexicon
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
#: Texts times capabilities up to which all is learned at once: a tenth of a second.
AT_ONCE = 10_000
#: Which part of the texts may have come since all was learned, without learning all anew.
BEHIND = 0.2
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


@dataclass(frozen=True, slots=True, eq=False)
class _Words:
    """`letters` float16[n, D] are the vectors, by the lexicon, of the new blocks' texts; of all
    where `whole`. `behind` is which part of the texts has come since all was learned.
    """

    lexicon: Lexicon
    letters: "NDArray[np.float16]"
    whole: bool
    behind: float


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
    words = await _words(plan, old)
    places = await _places(plan.blocks if plan.moved else plan.fresh, plan.arena)
    return await asyncio.to_thread(_laid, plan, places, spelling, words, embedder.name, old)


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


async def _words(plan: _Plan, old: "table.RoutingTable | None") -> _Words | None:
    """The texts as a head sees their words, where there can be one. Where little is new the words
    that were known count as they did.
    """
    (new, _), (texts, classes) = _size(plan.fresh), _size(plan.blocks)
    if not possible(texts, classes):
        return None
    share = new / texts
    if old and old.learned.head and share <= BEHIND and texts * classes > AT_ONCE:
        lexicon, letters = await _lettered(plan.fresh, old.learned.lexicon)
        return _Words(lexicon, letters, whole=False, behind=min(old.behind + share, 1.0))
    lexicon, letters = await _lettered(plan.blocks)
    return _Words(lexicon, letters, whole=True, behind=1.0)


async def _lettered(
    blocks: Sequence[Block], known: Lexicon | None = None
) -> "tuple[Lexicon, NDArray[np.float16]]":
    """The lexicon of the blocks' texts, beside what is known, and their vectors by it."""
    import numpy as np

    breath, growing = Breath(), Growing(known)
    texts = [text for block in blocks for text in block.texts]
    for text in texts:
        growing.add(text)
        if breath.due:
            await breath.taken()
    lexicon = await asyncio.to_thread(growing.done)
    letters = np.zeros((len(texts), D), np.float16)
    for i, text in enumerate(texts):
        letters[i] = lexicon.vector(text)
        if breath.due:
            await breath.taken()
    return lexicon, letters


async def settled(of: "table.RoutingTable") -> "table.RoutingTable":
    """The table with all learned; see `RoutingTable.settled`."""
    if not of.provisional:
        return of
    if of.learned.head and of.behind <= BEHIND:
        return of.but(learned=await asyncio.to_thread(settling.further, of), provisional=False)
    if of.learned.head:
        lexicon, letters = await _lettered(of.blocks)
        of = of.but(learned=Learned(lexicon), letters=letters)
    return of.but(learned=await asyncio.to_thread(settling.anew, of), provisional=False, behind=0.0)


def _size(blocks: Sequence[Block]) -> tuple[int, int]:
    """How many texts and capabilities there are."""
    return sum(len(block.texts) for block in blocks), sum(len(block.keys) for block in blocks)


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
    words: _Words | None,
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
        learned=Learned(),
        embedder=embedder,
        version=_digest(blocks, embedder),
    )
    made = _taught(made, plan, words, texts, old)
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


def _taught(
    made: "table.RoutingTable",
    plan: _Plan,
    words: _Words | None,
    texts: "Numbers",
    old: "table.RoutingTable | None",
) -> "table.RoutingTable":
    """The table with what can be learned at once: of the same agents in the same order it is what
    was; a small one learns all.
    """
    import numpy as np

    if old and np.array_equal(plan.before, np.arange(len(old.blocks))):
        same = replace(made, learned=old.learned, letters=old.letters)
        return replace(same, behind=old.behind, provisional=old.provisional)
    if words is None:
        return made
    letters, learned = words.letters, Learned(words.lexicon)
    if old and old.letters is not None and not words.whole:
        letters = _merged(plan.before, texts, letters, _rows_before(old), old.letters)
    made = replace(made, letters=letters, behind=words.behind, provisional=True, learned=learned)
    if len(made.rows) * len(made.starts) <= AT_ONCE:
        return replace(made, learned=settling.anew(made), behind=0.0, provisional=False)
    if old and old.learned.head and not words.whole:
        head = settling.extended(made, old.learned.head, _columns(plan, old))
        return replace(made, learned=replace(old.learned, lexicon=words.lexicon, head=head))
    return made


def _columns(plan: _Plan, old: "table.RoutingTable") -> "Numbers":
    """The number that each capability has in the table before, -1 of those that say something new.
    Of an agent that changed, its other capabilities are known.
    """
    import numpy as np

    found: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    for number, block in zip(plan.before.tolist(), plan.blocks, strict=True):
        if number >= 0:
            found.append(old.firsts[number] + np.arange(len(block.keys)))
            continue
        before = old.by_name.get(block.agent.name)
        known = _offers(old.blocks[before]) if before is not None else []
        places = [known.index(offer) if offer in known else -1 for offer in _offers(block)]
        first = 0 if before is None else int(old.firsts[before])
        found.append(np.array([first + p if p >= 0 else -1 for p in places], np.int64))
    return np.concatenate(found)


def _offers(block: Block) -> list[tuple[str, tuple[str, ...]]]:
    """Each capability of an agent with its texts."""
    stops = block.sizes.cumsum().tolist()
    parts = zip([0, *stops], stops, strict=False)
    return [(k, block.texts[i:j]) for k, (i, j) in zip(block.keys, parts, strict=True)]


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
