"""What a router chooses from: the texts of a channel's agents as vectors, in an immutable snapshot.

Every capability brings its examples, its description and its name; an agent without capabilities
its description. Each text is a row. A message is held against all rows of a small table, and of a
large one against those of the capabilities that may matter (`RoutingTable.near`).
"""

import asyncio
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from lmos.model import Embedder, RoutableAgent
from lmos.router.index import Index
from lmos.router.index.centres import Centres, ranges
from lmos.router.scoring.described import unevenness
from lmos.router.scoring.learned import Learned
from lmos.router.spelling import Spelling
from lmos.router.texts import Arena, Block, Rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

#: Up to so many rows, or so many capabilities, all are looked at: a shortlist would not be faster.
ROWS, CAPABILITIES = 4096, 512


@dataclass(frozen=True, slots=True, eq=False)
class Near:
    """The part of a table that may matter to a vector, in the table's order: whole capabilities.

    `rows` int[n] are the table's rows that are in it and `similarities` float32[n] theirs to the
    vector; `capabilities` int[c] and `agents` int[a] are their numbers in the table. `numbers`,
    `starts` and `firsts` are as those of a table, but count places in these arrays: `numbers[i]` is
    the place in `capabilities` of row i, `starts[j]` the place in `rows` where capability j begins,
    `firsts[k]` the place in `capabilities` where agent k begins. An agent of the table may have
    only some of its capabilities here, or none.
    """

    rows: "Numbers"
    similarities: "NDArray[np.float32]"
    numbers: "Numbers"
    capabilities: "Numbers"
    starts: "Numbers"
    agents: "Numbers"
    firsts: "Numbers"


@dataclass(frozen=True, eq=False)
class RoutingTable:
    """Agents with their texts as vectors.

    Rows are ordered by capability and those by agent; `numbers` int[rows] is the capability of each
    row, `starts` int[capabilities] the first row of each and `examples` how many from there on are
    examples of what users say, `firsts` int[agents] the first capability of each, and `owners`
    int[capabilities] the agent of each. `places` int[rows] is where the vectors lie in the arena.
    `spelling` knows the texts' words, `learned` is what scoring fits to the texts. `embedder` names
    the model that the vectors are from, `version` is a hash of it and of the agents. `letters`
    float16[rows, D] are the texts as the words learned see them, where a head can be fitted, and
    `behind` which part of them has come since all was learned; `provisional` tells that
    the head was not fitted to all of them yet, which `settled` does. `index` is
    where a large table is looked up, None for memory, and `answers` what it said of some vectors:
    the numbers of the capabilities worth a look.
    """

    blocks: tuple[Block, ...]
    rows: Rows
    numbers: "Numbers"
    starts: "Numbers"
    examples: "Numbers"
    firsts: "Numbers"
    owners: "Numbers"
    places: "Numbers"
    arena: Arena
    centres: Centres | None
    spelling: Spelling
    learned: Learned
    embedder: str
    version: str
    letters: "NDArray[np.float16] | None" = None
    behind: float = 0.0
    provisional: bool = False
    index: Index | None = None
    answers: Mapping[bytes, "Numbers"] = field(default_factory=dict)

    @classmethod
    async def build(
        cls,
        agents: Sequence[RoutableAgent],
        embedder: Embedder,
        previous: "RoutingTable | None" = None,
        index: Index | None = None,
        *,
        at_once: bool = False,
    ) -> "RoutingTable":
        """The table of these agents. Of an agent that `previous` has nothing is done again, and no
        text that it has is embedded again. Other work of the event loop goes on meanwhile. A large
        table is looked up in `index`, where there is one and it can be reached. What takes long to
        learn is learned too, unless the table is wanted `at_once`: then `settled` does it.
        """
        from lmos.router.building import built

        made = await built(agents, embedder, previous)
        made = made if at_once else await made.settled()
        if index and made.centres and await index.keep(made):
            made = replace(made, index=index)
            await asyncio.to_thread(made.prepare)
        return made

    async def settled(self) -> "RoutingTable":
        """This table with what is learned fitted to all its texts; itself where it is. Until then a
        new capability has a column of its own in the head, fitted beside the others as they were,
        or, where most are new, all are told apart by the nearest texts alone. It takes some
        seconds at most, in a thread, on one core.
        """
        from lmos.router.building import settled

        return await settled(self)

    @cached_property
    def agents(self) -> tuple[RoutableAgent, ...]:
        """The agents."""
        return tuple(block.agent for block in self.blocks)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The agents' names."""
        return tuple(block.agent.name for block in self.blocks)

    @cached_property
    def by_name(self) -> Mapping[str, int]:
        """The number of the agent of each name."""
        return {name: number for number, name in enumerate(self.names)}

    @cached_property
    def vectors(self) -> "NDArray[np.float32]":
        """float32[rows, d], unit length. Of a large table it is a copy, made when first asked for;
        `near` needs none.
        """
        return self.arena.at(self.places)

    @cached_property
    def sizes(self) -> "Numbers":
        """int[capabilities]: how many rows each has."""
        import numpy as np

        return np.diff(self.starts, append=len(self.rows))

    async def asked(self, vectors: "Sequence[NDArray[np.float32]]") -> "RoutingTable":
        """This table with what its index says of these vectors, for one decision; itself where the
        index is in memory, or does not answer now.
        """
        if self.index is None or self.centres is None:
            return self
        answers = [await self.index.nearest(vector) for vector in vectors]
        found = {
            vector.tobytes(): self._capabilities(texts)
            for vector, texts in zip(vectors, answers, strict=True)
            if texts
        }
        return self.but(answers=found)

    def but(self, **changes: object) -> "RoutingTable":
        """A copy with fields changed that nothing else was worked out from; `replace` would forget
        what was.
        """
        made = copy(self)
        for name, value in changes.items():
            object.__setattr__(made, name, value)
        return made

    def _capabilities(self, texts: Sequence[str]) -> "Numbers":
        """The numbers of the capabilities that have any of these texts, ascending."""
        import numpy as np

        known = [place for text in texts if (place := self.arena.place(text)) is not None]
        order, places = self._by_place
        first, last = (places.searchsorted(known, side) for side in ("left", "right"))
        return np.unique(self.numbers[order[ranges(first, last - first)]])

    @cached_property
    def _by_place(self) -> "tuple[Numbers, Numbers]":
        """The rows in the order of their places, and these."""
        order = self.places.argsort(kind="stable")
        return order, self.places[order]

    @cached_property
    def uneven(self) -> float:
        """How differently many examples the capabilities have (0 to 1)."""
        return unevenness(self.examples)

    def prepare(self) -> None:
        """Works out now what the first decision would, in the calling thread."""
        _ = self.by_name, self.sizes, self.uneven
        if self.centres is None:
            _ = self.vectors, self._all
        elif self.index:
            _ = self._by_place

    def near(self, vector: "NDArray[np.float32]", keep: Sequence[int] = ()) -> Near:
        """What of the table may matter to a text with that vector, with the similarities; of agents
        with the numbers `keep` everything.
        """
        if self.centres is None:
            return self._whole(vector)
        found = self.answers.get(vector.tobytes()) if self.answers else None
        if found is None or not len(found):
            found = self.centres.shortlist(vector)
        return self.part(found, vector, keep)

    def _whole(self, vector: "NDArray[np.float32]") -> Near:
        rows, capabilities, agents = self._all
        return Near(
            rows=rows,
            similarities=self.vectors @ vector,
            numbers=self.numbers,
            capabilities=capabilities,
            starts=self.starts,
            agents=agents,
            firsts=self.firsts,
        )

    @cached_property
    def _all(self) -> "tuple[Numbers, Numbers, Numbers]":
        import numpy as np

        return tuple(np.arange(n) for n in (len(self.rows), len(self.starts), len(self.firsts)))  # type: ignore[return-value]

    def part(
        self, capabilities: "Numbers", vector: "NDArray[np.float32]", keep: Sequence[int] = ()
    ) -> Near:
        """These capabilities, in ascending order, and all of agents with the numbers `keep`."""
        import numpy as np

        for agent in keep:
            start, stop = (np.searchsorted(self.owners, agent + i) for i in (0, 1))
            capabilities = np.union1d(capabilities, np.arange(start, stop))
        sizes = self.sizes[capabilities]
        rows = ranges(self.starts[capabilities], sizes)
        agents, firsts = np.unique(self.owners[capabilities], return_index=True)
        return Near(
            rows=rows,
            similarities=self.arena.similarities(self.places[rows], vector),
            numbers=np.repeat(np.arange(len(capabilities)), sizes),
            capabilities=capabilities,
            starts=sizes.cumsum() - sizes,
            agents=agents,
            firsts=firsts,
        )
