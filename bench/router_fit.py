"""The weights of the signs that somebody is meant, from public data."""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmos.model import RoutableAgent
from lmos.router import RoutingTable
from lmos.router.fit import Fit
from lmos.router.scoring.seen import look
from lmos.router.specs import read_agents, read_labelled
from router_data import (
    COUNTS,
    Asked,
    Data,
    Known,
    Texts,
    agents_of,
    channel,
    drawn_of,
    grouped,
    strange,
    with_counts,
)

#: What users are taken to ask, in shares of all messages.
SHARES = {"offered": 0.85, "outOfScope": 0.075, "elsewhere": 0.06, "beside": 0.015}
EXAMPLES = ((0, 0), (1, 3), (5, 10), (20, 40), (100, 100))
#: How many times the agents of the original's benchmark are looked at, each time one is left out.
LMOS = 5

#: The places of the signs that tell, by which of the weights.
SIGNS = {"learned": (0, 2, 3), "described": (0, 1, 2, 4), "bare": (0, 1, 2)}
NAMES = ("near", "lead", "texts", "usual", "odds")

Signs = tuple[float, ...]
Seen = dict[str, list[Signs]]  # by kind
Case = tuple[list[RoutableAgent], Mapping[str, Sequence[Asked]]]  # agents, and what is asked


async def weights(data: Data, vectors: Known, channels: int) -> dict[str, Any]:
    """The weights for each kind of tables."""
    tables: dict[str, list[Seen]] = defaultdict(list)
    for agents, asked in _tables(data, channels):
        table = await RoutingTable.build(agents, vectors)
        tables[Fit().scope_of(table)].append(await _seen(table, asked, vectors))
    tables["bare"] += tables["learned"]  # their signs but the last two do not depend on a head
    return {
        kind: _named(_logistic(seen, SIGNS[kind]), [NAMES[i] for i in SIGNS[kind]])
        for kind, seen in tables.items()
    }


def _tables(data: Data, channels: int) -> Iterator[Case]:
    sets, domains = data.clinc()
    train, val, away = grouped(sets["train"]), grouped(sets["val"]), strange(sets)
    for count in (5, 10, 30):
        known = agents_of(drawn_of(sets["train"], count, count))
        yield known, {"offered": sets["val"][::4], "outOfScope": away}
    for number in range(4):
        yield _banking(data, number, [*away, *sets["val"][::20]])
    for number in range(channels):
        drawn = random.Random(1000 + number)
        agents, asked = channel(drawn, domains, train, val, EXAMPLES[number % len(EXAMPLES)])
        asked["offered"] = asked["offered"][::4]
        yield agents, {**asked, "outOfScope": away}
    for number in range(channels):
        drawn = random.Random(2000 + number)
        yield _mixed(drawn, train, val, away)
        yield _mixed(drawn, grouped(data.banking()), {}, away)
        if number < LMOS:
            yield _lmos(data, drawn, away)


def _mixed(drawn: random.Random, texts: Texts, val: Texts, away: Sequence[Asked]) -> Case:
    """Thirty intents, with some examples each or with none."""
    known = {name: drawn.sample(said, len(said)) for name, said in sorted(texts.items())}
    counts = {name: drawn.choice(COUNTS) for name in drawn.sample(sorted(texts), 30)}
    asked = val or {name: said[-10:] for name, said in known.items()}
    agents = with_counts(counts, {name: said[:-10] for name, said in known.items()}, drawn)
    offered = [(text, name) for name in counts for text in asked[name][:10]]
    others = [(text, "") for name in known if name not in counts for text in asked[name][:2]]
    return agents, {"offered": offered, "elsewhere": others, "outOfScope": away}


def _lmos(data: Data, drawn: random.Random, away: Sequence[Asked]) -> Case:
    """Agents by their descriptions alone, one of them left out."""
    folder = data.file("lmos-router-benchmark")
    agents = read_agents(folder / "agentRoutingSpecs.json")
    rows = drawn.sample(read_labelled(folder / "train.csv"), 600)
    left = drawn.choice(agents).name
    offered = [(row.text, row.agent) for row in rows if row.agent != left]
    beside = [(row.text, "") for row in rows if row.agent == left]
    there = [one for one in agents if one.name != left]
    return there, {"offered": offered, "beside": beside, "outOfScope": away}


def _banking(data: Data, number: int, away: Sequence[Asked]) -> Case:
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
