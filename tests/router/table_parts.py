"""Tables of many agents for tests."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from lmos.model import Capability, Message, RoutableAgent
from lmos.router import RoutingRequest, RoutingTable, VectorRouter

WORDS = [
    "bill",
    "parcel",
    "roaming",
    "contract",
    "address",
    "shop",
    "phone",
    "weather",
    "invoice",
    "tariff",
    "order",
    "router",
]


class Hashed:
    """Vectors that depend on the words of a text, so that many texts cost nothing."""

    name = "hashed"

    def __init__(self, d: int = 48) -> None:
        self.d = d
        self.asked: list[str] = []

    async def embed(self, texts: Sequence[str]) -> Any:
        self.asked += texts
        rows = [sum(self._of(word) for word in text.split()) for text in texts]
        return np.stack([row / np.linalg.norm(row) for row in rows]).astype(np.float32)

    def _of(self, word: str) -> Any:
        return np.random.default_rng(int.from_bytes(word.encode(), "big") % 2**63).normal(
            size=self.d
        )


def agent(name: str, drawn: random.Random) -> RoutableAgent:
    def text() -> str:
        return " ".join([name, *drawn.sample(WORDS, 3)])

    offers = tuple(
        Capability(id=f"c{n}", name=name, version="1", examples=tuple(text() for _ in range(5)))
        for n in range(drawn.randint(0, 3))
    )
    return RoutableAgent(name=name, description=text(), capabilities=offers)


def changed(agents: list[RoutableAgent], drawn: random.Random) -> list[RoutableAgent]:
    """Some of the agents say something else, one is gone, one is new, and the order is another."""
    found = [agent(a.name, drawn) if drawn.random() < 0.2 else a for a in agents[1:]]
    drawn.shuffle(found)
    return [*found, agent(f"new{drawn.randrange(10**6)}", drawn)]


async def decided(found: RoutingTable, text: str) -> tuple[str, str | None]:
    request = RoutingRequest((Message(role="user", content=text),))
    decision = await VectorRouter(Hashed()).decide(request, found)
    return decision.outcome, decision.agent
