"""What agents say of themselves, and where the vectors of it lie.

A `Block` has the texts of one agent. Tables that follow each other share the blocks of agents that
did not change, and one `Arena` with the vectors of all their texts; a table knows which places of
the arena are its own. So a new table costs what has changed, and the old one stays as it is.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from lmos.model import RoutableAgent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

#: Places that an arena begins with, at least.
FEWEST = 1024


@dataclass(frozen=True, slots=True)
class Row:
    """A text, and whose it is."""

    text: str
    agent: str
    capability: str


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """An agent's texts, by capability: `keys` names these, `sizes` int[capabilities] tells how many
    texts each has. `said` bool[texts] tells which are examples of what users say, rather than
    names and descriptions. `digest` is a hash of all that the agent says.
    """

    agent: RoutableAgent
    texts: tuple[str, ...]
    keys: tuple[str, ...]
    sizes: "NDArray[np.int64]"
    said: "NDArray[np.bool_]"
    digest: bytes

    @classmethod
    def of(cls, agent: RoutableAgent) -> "Block":
        """The texts of each capability that has any, without repetition; of the agent itself where
        none has.
        """
        import numpy as np

        found = list(_texts(agent)) or [("", [_alone(agent)])]
        examples = {text.strip() for offer in agent.capabilities for text in offer.examples}
        return cls(
            agent=agent,
            texts=tuple(text for _, texts in found for text in texts),
            keys=tuple(key for key, _ in found),
            sizes=np.array([len(texts) for _, texts in found], np.int64),
            said=np.array([text in examples for _, texts in found for text in texts], bool),
            digest=hashlib.sha256(agent.model_dump_json().encode()).digest(),
        )

    def row(self, number: int) -> Row:
        """The text of that number, from 0."""
        capability = int(self.sizes.cumsum().searchsorted(number, "right"))
        return Row(self.texts[number], self.agent.name, self.keys[capability])


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
    """Vectors of texts, each at a place that never changes; more are added behind them. Several
    threads may read and add.
    """

    def __init__(self, d: int) -> None:
        import numpy as np

        self.vectors: Vectors = np.empty((0, d), np.float32)
        self._places: dict[str, int] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._places)

    def place(self, text: str) -> int | None:
        """Where the text's vector lies, None when it is not there."""
        return self._places.get(text)

    def reserve(self, more: int, d: int) -> None:
        """Makes room for that many texts of d dimensions. Memory is used as it fills."""
        import numpy as np

        with self._lock:
            used = len(self._places)
            if used + more <= len(self.vectors) and self.vectors.shape[1] == d:
                return
            grown = np.empty((max(FEWEST, 2 * (used + more)), d), np.float32)
            if used:
                grown[:used] = self.vectors[:used]
            self.vectors = grown

    def add(self, texts: Sequence[str], vectors: "Vectors") -> None:
        """Keeps the vectors of texts; one that is there already keeps its own."""
        self.reserve(len(texts), vectors.shape[1])
        with self._lock:
            for text, vector in zip(texts, vectors, strict=True):
                if text not in self._places:
                    place = len(self._places)
                    self.vectors[place] = vector
                    self._places[text] = place


def _texts(agent: RoutableAgent) -> Iterator[tuple[str, list[str]]]:
    for capability in agent.capabilities:
        texts = (*capability.examples, capability.description, _spoken(capability.name))
        if stripped := list(dict.fromkeys(text.strip() for text in texts if text.strip())):
            yield capability.key, stripped


def _alone(agent: RoutableAgent) -> str:
    return agent.description.strip() or _spoken(agent.name) or agent.name


def _spoken(name: str) -> str:
    """A name as words."""
    return name.replace("-", " ").replace("_", " ").strip()
