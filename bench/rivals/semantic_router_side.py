"""semantic-router's side of `bench/router_scale.py`, in its own environment.

    python semantic_router_side.py FILE

FILE is an .npz with `examples` float32[agents, texts, d], `queries` float32[n, d]. Its encoder
gives those very vectors, looked up by name. Prints JSON: milliseconds of each decision, and which
agent each query was for.
"""

import asyncio
import json
import sys
import time
from importlib.metadata import version
from typing import Any

import numpy as np
from pydantic import Field
from semantic_router import IndexedRouter, Route
from semantic_router.encoders import DenseEncoder


class Given(DenseEncoder):
    """Vectors that were embedded before."""

    name: str = "given"
    vectors: dict[str, Any] = Field(default_factory=dict)

    def __call__(self, docs: list[Any]) -> list[list[float]]:
        return [self.vectors[text] for text in docs]

    async def acall(self, docs: list[Any]) -> list[list[float]]:
        return self(docs)


async def main() -> None:
    data = np.load(sys.argv[1])
    examples, queries = data["examples"], data["queries"]
    vectors = {
        f"{a}/{t}": examples[a, t]
        for a in range(examples.shape[0])
        for t in range(examples.shape[1])
    }
    vectors |= {f"query {i}": query for i, query in enumerate(queries)}
    routes = [
        Route(name=str(a), utterances=[f"{a}/{t}" for t in range(examples.shape[1])])
        for a in range(examples.shape[0])
    ]
    router = IndexedRouter(encoder=Given(vectors=vectors), routes=routes)
    times, cpu, found = [], [], []
    for i in range(len(queries)):
        began, used = time.perf_counter(), time.thread_time()
        choice = await router.acall(f"query {i}")
        times.append((time.perf_counter() - began) * 1000)
        cpu.append((time.thread_time() - used) * 1000)
        found.append(choice.name)
    print(
        json.dumps(
            {
                "version": version("semantic-router"),
                "times": times,
                "cpu": cpu,
                "found": found,
            }
        )
    )


asyncio.run(main())
