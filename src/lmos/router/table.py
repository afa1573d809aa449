"""What a router chooses from: the texts of a channel's agents as vectors, in an immutable snapshot.

Every capability brings its examples, its description and its name; an agent without capabilities
its description. Each text is a row of one matrix, so looking at all of them is one product.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmos.model import Embedder, RoutableAgent
from lmos.router.spelling import Spelling

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Row:
    """A text, whose it is, and the number of its capability among all of the table."""

    text: str
    agent: str
    capability: str
    number: int


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

    rows: "NDArray[np.int64]"
    similarities: "NDArray[np.float32]"
    numbers: "NDArray[np.int64]"
    capabilities: "NDArray[np.int64]"
    starts: "NDArray[np.int64]"
    agents: "NDArray[np.int64]"
    firsts: "NDArray[np.int64]"


@dataclass(frozen=True, slots=True, eq=False)
class RoutingTable:
    """Agents with their texts as vectors.

    `vectors` is float32[rows, d], ordered by capability and those by agent; `numbers` int[rows] the
    capability of each row; `starts` int[capabilities] the first row of each; `firsts` int[agents]
    the first capability of each. `spelling` knows the texts' words. `embedder` names the model
    that the vectors are from, `version` is a hash of it and of the agents.
    """

    agents: tuple[RoutableAgent, ...]
    names: tuple[str, ...]
    rows: tuple[Row, ...]
    vectors: "NDArray[np.float32]"
    numbers: "NDArray[np.int64]"
    starts: "NDArray[np.int64]"
    firsts: "NDArray[np.int64]"
    spelling: Spelling
    embedder: str
    version: str

    @classmethod
    async def build(
        cls,
        agents: Sequence[RoutableAgent],
        embedder: Embedder,
        previous: "RoutingTable | None" = None,
    ) -> "RoutingTable":
        """The table of these agents. Texts that `previous` has are not embedded again."""
        import numpy as np

        rows, starts, firsts = _rows(agents)
        known = previous.known if previous and previous.embedder == embedder.name else {}
        new = [text for text in dict.fromkeys(row.text for row in rows) if text not in known]
        fresh = dict(zip(new, await embedder.embed(new), strict=True)) if new else {}
        found = [fresh[r.text] if r.text in fresh else known[r.text] for r in rows]
        return cls(
            agents=tuple(agents),
            names=tuple(agent.name for agent in agents),
            rows=tuple(rows),
            vectors=np.stack(found) if found else np.zeros((0, max(embedder.d, 1)), np.float32),
            numbers=np.array([row.number for row in rows], np.int64),
            starts=np.array(starts, np.int64),
            firsts=np.array(firsts, np.int64),
            spelling=Spelling(row.text for row in rows),
            embedder=embedder.name,
            version=_digest(agents, embedder.name),
        )

    def near(self, vector: "NDArray[np.float32]") -> Near:
        """What of the table may matter to a text with that vector, with the similarities."""
        import numpy as np

        return Near(
            rows=np.arange(len(self.rows)),
            similarities=self.vectors @ vector,
            numbers=self.numbers,
            capabilities=np.arange(len(self.starts)),
            starts=self.starts,
            agents=np.arange(len(self.agents)),
            firsts=self.firsts,
        )

    @property
    def known(self) -> "dict[str, NDArray[np.float32]]":
        """The vector of each text."""
        return {row.text: vector for row, vector in zip(self.rows, self.vectors, strict=True)}


def _rows(agents: Sequence[RoutableAgent]) -> tuple[list[Row], list[int], list[int]]:
    rows: list[Row] = []
    starts: list[int] = []
    firsts: list[int] = []
    for agent in agents:
        firsts.append(len(starts))
        for key, texts in _texts(agent):
            number = len(starts)
            starts.append(len(rows))
            rows += [Row(text, agent.name, key, number) for text in texts]
    return rows, starts, firsts


def _texts(agent: RoutableAgent) -> list[tuple[str, list[str]]]:
    """The texts of each capability that has any, without repetition; of the agent itself where
    none has.
    """
    found = []
    for capability in agent.capabilities:
        texts = (*capability.examples, capability.description, _spoken(capability.name))
        stripped = list(dict.fromkeys(text.strip() for text in texts if text.strip()))
        if stripped:
            found.append((capability.key, stripped))
    return found or [("", [agent.description.strip() or _spoken(agent.name) or agent.name])]


def _spoken(name: str) -> str:
    """A name as words."""
    return name.replace("-", " ").replace("_", " ").strip()


def _digest(agents: Sequence[RoutableAgent], embedder: str) -> str:
    text = embedder + "\n".join(agent.model_dump_json() for agent in agents)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
