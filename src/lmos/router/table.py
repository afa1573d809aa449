"""What a router chooses from: the texts of a channel's agents as vectors, in an immutable snapshot.

Every capability brings its examples, its description and its name; an agent without capabilities
its description. Each text is a row of one matrix, so looking at all of them is one product.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmos.model import Embedder, RoutableAgent

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
class RoutingTable:
    """Agents with their texts as vectors.

    `vectors` is float32[rows, d], ordered by capability; `numbers` int[rows] the capability of each
    row; `starts` int[capabilities] the first row of each; `owners` int[capabilities] the index of
    its agent.
    """

    agents: tuple[RoutableAgent, ...]
    rows: tuple[Row, ...]
    vectors: "NDArray[np.float32]"
    numbers: "NDArray[np.int64]"
    starts: "NDArray[np.int64]"
    owners: "NDArray[np.int64]"
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

        rows, starts, owners = _rows(agents)
        texts = list(dict.fromkeys(row.text for row in rows))
        known = {r.text: i for i, r in enumerate(previous.rows)} if previous else {}
        new = [text for text in texts if text not in known]
        fresh = dict(zip(new, await embedder.embed(new), strict=True)) if new else {}
        found = [
            fresh[row.text] if row.text in fresh else previous.vectors[known[row.text]]  # type: ignore[union-attr]
            for row in rows
        ]
        vectors = np.stack(found) if found else np.zeros((0, max(embedder.d, 1)), np.float32)
        return cls(
            agents=tuple(agents),
            rows=tuple(rows),
            vectors=vectors,
            numbers=np.array([row.number for row in rows], np.int64),
            starts=np.array(starts, np.int64),
            owners=np.array(owners, np.int64),
            version=_digest(agents, embedder.name),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The agents' names."""
        return tuple(agent.name for agent in self.agents)


def _rows(agents: Sequence[RoutableAgent]) -> tuple[list[Row], list[int], list[int]]:
    rows: list[Row] = []
    starts: list[int] = []
    owners: list[int] = []
    for index, agent in enumerate(agents):
        for key, texts in _texts(agent):
            number = len(starts)
            starts.append(len(rows))
            owners.append(index)
            rows += [Row(text, agent.name, key, number) for text in texts]
    return rows, starts, owners


def _texts(agent: RoutableAgent) -> list[tuple[str, list[str]]]:
    """The texts of each capability, without repetition; of the agent itself where it has none."""
    found = []
    for capability in agent.capabilities:
        name = capability.name.replace("-", " ").replace("_", " ")
        texts = (*capability.examples, capability.description, name)
        found.append((capability.key, list(dict.fromkeys(t.strip() for t in texts if t.strip()))))
    if not found:
        found.append(("", [agent.description.strip() or agent.name.replace("-", " ")]))
    return found


def _digest(agents: Sequence[RoutableAgent], embedder: str) -> str:
    text = embedder + "\n".join(agent.model_dump_json() for agent in agents)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
