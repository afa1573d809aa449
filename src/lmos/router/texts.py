"""What agents say of themselves, and where the vectors of it lie.

A `Block` has the texts of one agent. Tables that follow each other share the blocks of agents that
did not change, and one `Arena` with the vectors of all their texts; a table knows which places of
the arena are its own. So a new table costs what has changed, and the old one stays as it is.
"""

import hashlib
from bisect import bisect, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from threading import Lock
from typing import TYPE_CHECKING

from lmos.model import RoutableAgent
from lmos.router import wording

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

#: Places that an arena begins with, at least.
FEWEST = 1024
#: Vectors in a row from which on they are compared where they lie; of fewer so many are copied to
#: be compared at a time as the processor keeps at hand.
ROW, HAND = 32, 128


@dataclass(frozen=True, slots=True)
class Row:
    """A text, and whose it is."""

    text: str
    agent: str
    capability: str


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """An agent's texts, by capability: `keys` names these, `sizes` int[capabilities] tells how many
    texts each has and `ends` where they end. `said` bool[texts] tells which are examples of what
    users say, rather than names and descriptions; they come first in their capability. `digest` is
    a hash of all that the agent says.
    """

    agent: RoutableAgent
    texts: tuple[str, ...]
    keys: tuple[str, ...]
    sizes: "NDArray[np.int64]"
    said: "NDArray[np.bool_]"
    ends: tuple[int, ...]
    digest: bytes

    @classmethod
    def of(cls, agent: RoutableAgent) -> "Block":
        """The texts of each capability that has any, without repetition; of the agent itself where
        none has.
        """
        import numpy as np

        found = list(_texts(agent)) or [("", [], wording.of_agent(agent))]
        sizes = [len(said) + len(words) for _, said, words in found]
        return cls(
            agent=agent,
            texts=tuple(text for _, said, words in found for text in (*said, *words)),
            keys=tuple(key for key, _, _ in found),
            sizes=np.array(sizes, np.int64),
            ends=tuple(accumulate(sizes)),
            said=np.concatenate([np.arange(len(s) + len(w)) < len(s) for _, s, w in found]),
            digest=hashlib.sha256(agent.model_dump_json().encode()).digest(),
        )

    def row(self, number: int) -> Row:
        """The text of that number, from 0."""
        return Row(self.texts[number], self.agent.name, self.keys[bisect(self.ends, number)])


class Rows(Sequence[Row]):
    """The rows of a table, made when they are looked at: objects for each of 100,000 would keep the
    garbage collector busy, and with it all turns waiting.
    """

    def __init__(self, blocks: Sequence[Block], starts: "NDArray[np.int64]") -> None:
        self._blocks = blocks
        self._starts = starts

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __iter__(self) -> Iterator[Row]:
        for block in self._blocks:
            sizes = zip(block.keys, block.sizes.tolist(), strict=True)
            keys = (key for key, size in sizes for _ in range(size))
            yield from (
                Row(text, block.agent.name, key)
                for text, key in zip(block.texts, keys, strict=True)
            )

    def __getitem__(self, number):  # type: ignore[no-untyped-def]  # int or slice
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        place = range(len(self))[number]
        block = int(self._starts.searchsorted(place, "right")) - 1
        return self._blocks[block].row(place - int(self._starts[block]))


class Arena:
    """Vectors of texts, each at a place that never changes; more are added behind them, in arrays
    of their own, so that nothing is ever copied. Several threads may read while one adds.
    """

    def __init__(self) -> None:
        self._parts: list[Vectors] = []
        self._starts: list[int] = []
        self._room = 0
        self._places: dict[str, int] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._places)

    @property
    def d(self) -> int:
        """Dimensions of the vectors, 0 while there are none."""
        return self._parts[0].shape[1] if self._parts else 0

    def place(self, text: str) -> int | None:
        """Where the text's vector lies, None when it is not there."""
        return self._places.get(text)

    def at(self, places: "NDArray[np.int64]") -> "Vectors":
        """float32[n, d]: a copy of the vectors at these places."""
        import numpy as np

        if not len(places):
            return np.empty((0, max(self.d, 1)), np.float32)
        start, part = self._part(int(places.min()))
        if places.max() < start + len(part):
            return part.take(places - start if start else places, 0)
        found = np.empty((len(places), self.d), np.float32)
        for start, part in zip(self._starts, self._parts, strict=False):
            here = np.flatnonzero((places >= start) & (places < start + len(part)))
            if len(here):
                found[here] = part[places[here] - start]
        return found

    def similarities(
        self, places: "NDArray[np.int64]", vector: "NDArray[np.float32]"
    ) -> "NDArray[np.float32]":
        """float32[n]: how near the vectors at these places are to one (their products)."""
        import numpy as np

        found = np.empty(len(places), np.float32)
        cuts = np.flatnonzero(np.diff(places) != 1) + 1
        if len(places) < ROW * (len(cuts) + 1):
            for i in range(0, len(places), HAND):
                np.dot(self.at(places[i : i + HAND]), vector, out=found[i : i + HAND])
            return found
        for i, j in pairwise([0, *cuts.tolist(), len(places)]):
            start, part = self._part(first := int(places[i]))
            here = part[first - start : first - start + j - i]
            if len(here) == j - i:
                np.dot(here, vector, out=found[i:j])
            else:  # it goes on in the next part
                np.dot(self.at(places[i:j]), vector, out=found[i:j])
        return found

    def _part(self, place: int) -> "tuple[int, Vectors]":
        """The array that has this place, and the place that it begins with."""
        number = bisect_right(self._starts, place) - 1
        return self._starts[number], self._parts[number]

    def add(self, texts: Sequence[str], vectors: "Vectors", more: int = 0) -> None:
        """Keeps the vectors of texts; one that is there already keeps its own. Some `more` are
        about to follow.
        """
        with self._lock:
            new = [i for i, text in enumerate(texts) if text not in self._places]
            while new:
                used, free = len(self._places), self._free(len(new) + more, vectors.shape[1])
                filling, new = new[: len(free)], new[len(free) :]
                free[: len(filling)] = vectors[filling]
                self._places.update((texts[i], used + n) for n, i in enumerate(filling))

    def _free(self, wanted: int, d: int) -> "Vectors":
        """What is free of the last part; of a new one, where that is full."""
        import numpy as np

        used = len(self._places)
        if used == self._room:
            size = max(FEWEST, wanted, used)
            self._parts.append(np.empty((size, d), np.float32))
            self._starts.append(used)
            self._room += size
        return self._parts[-1][used - self._starts[-1] :]


def _texts(agent: RoutableAgent) -> Iterator[tuple[str, list[str], list[str]]]:
    """Of each capability that has any the examples, and what is said of it."""
    for capability in agent.capabilities:
        examples = (example.strip() for example in capability.examples)
        said = list(dict.fromkeys(example for example in examples if example))
        words = [text for text in wording.of_capability(agent, capability) if text not in said]
        if said or words:
            yield capability.key, said, words
