"""The weights of the signs that somebody is meant, from public data."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmos.model import RoutableAgent
from lmos.router import RoutingTable
from lmos.router.scoring.seen import look
from router_data import Asked, Data, Known, agents_of, channel, drawn_of, grouped, strange

#: What users are taken to ask, in shares of all messages.
SHARES = {"offered": 0.85, "outOfScope": 0.075, "elsewhere": 0.06, "beside": 0.015}
EXAMPLES = ((0, 0), (1, 3), (5, 10), (20, 40), (100, 100))

Signs = tuple[float, ...]
Seen = dict[str, list[Signs]]  # by kind


async def weights(data: Data, vectors: Known, channels: int) -> dict[str, Any]:
    """The weights for tables whose normal is known, and for others."""
    tables: dict[str, list[Seen]] = defaultdict(list)
    for agents, asked in _tables(data, channels):
        table = await RoutingTable.build(agents, vectors)
        kind = "learned" if table.learned.normal else "bare"
        tables[kind].append(await _seen(table, asked, vectors))
    return {
        "learned": _named(_logistic(tables["learned"], (0, 2, 3)), ("near", "texts", "usual")),
        "bare": _named(_logistic(tables["bare"], (0, 1, 2)), ("near", "lead", "texts")),
    }


def _tables(
    data: Data, channels: int
) -> "list[tuple[list[RoutableAgent], Mapping[str, Sequence[Asked]]]]":
    """Agents with what is asked, by kind."""
    sets, domains = data.clinc()
    train, val, away = grouped(sets["train"]), grouped(sets["val"]), strange(sets)
    found: list[tuple[list[RoutableAgent], Mapping[str, Sequence[Asked]]]] = []
    for count in (5, 10, 30):
        known = agents_of(drawn_of(sets["train"], count, count))
        found.append((known, {"offered": sets["val"][::4], "outOfScope": away}))
    for number in range(4):
        found.append(_banking(data, number, [*away, *sets["val"][::20]]))
    for number in range(channels):
        drawn = random.Random(1000 + number)
        agents, asked = channel(drawn, domains, train, val, EXAMPLES[number % len(EXAMPLES)])
        asked["offered"] = asked["offered"][::4]
        found.append((agents, {**asked, "outOfScope": away}))
    return found


def _banking(
    data: Data, number: int, away: Sequence[Asked]
) -> "tuple[list[RoutableAgent], Mapping[str, Sequence[Asked]]]":
    """Four fifths of the intents, with 10 or 60 examples each."""
    drawn = random.Random(number)
    by = {name: drawn.sample(texts, len(texts)) for name, texts in grouped(data.banking()).items()}
    names = drawn.sample(sorted(by), len(by))
    there, left = names[:60], names[60:]
    count = (10, 60)[number % 2]
    known = [(text, name) for name in there for text in by[name][:-10][:count]]
    offered = [(text, name) for name in there for text in by[name][-10:]]
    beside = [(text, "") for name in left for text in by[name][:6]]
    return agents_of(known), {"offered": offered, "beside": beside, "outOfScope": away}


async def _seen(table: RoutingTable, asked: Mapping[str, Sequence[Asked]], vectors: Known) -> Seen:
    found: Seen = {}
    for kind, pairs in asked.items():
        texts = [table.spelling.corrected(text) for text, _ in pairs]
        found[kind] = [
            look(table, text, vector).signs.data()
            for text, vector in zip(texts, await vectors.embed(texts), strict=True)
        ]
    return found


def _logistic(tables: Sequence[Seen], columns: tuple[int, ...]) -> NDArray[np.float64]:
    """Weights of the signs, then the bias, by Newton's method; in every table each kind has its
    share.
    """
    rows, meant, weight = [], [], []
    for seen in tables:
        for kind, signs in seen.items():
            if signs:
                rows.append(np.array(signs)[:, columns])
                meant.append(np.full(len(signs), kind == "offered"))
                weight.append(np.full(len(signs), SHARES[kind] / len(signs) / len(tables)))
    x = np.concatenate([np.c_[r, np.ones(len(r))] for r in rows])
    y, w = np.concatenate(meant), np.concatenate(weight)
    found = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ found))
        curvature = (x * (w * p * (1 - p))[:, None]).T @ x + 1e-6 * np.eye(len(found))
        found -= np.linalg.solve(curvature, x.T @ (w * (p - y)))
    return found


def _named(found: NDArray[np.float64], names: Sequence[str]) -> dict[str, float]:
    return {name: round(float(w), 2) for name, w in zip((*names, "bias"), found, strict=True)}
