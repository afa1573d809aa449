"""How well and how fast the router decides, on public data sets, beside others.

    LMOS_BENCH_DATA=DIR python bench/router.py [--channels 20] [--seeds 3] [--only lmos,clinc,...]

DIR holds the folders `lmos-router-benchmark` (train.csv, test-2000.csv, agentRoutingSpecs.json),
`clinc150` (clinc150-train-val.json, domains.json) and `banking77` (train.csv); without it only the
latency is measured. Prints JSON:

lmos       the original's benchmark with its 3,000 examples, and from names and descriptions alone
clinc      CLINC150, its 150 intents as agents with every training example, asked what is in its
           validation set and what is out of scope; and with its 10 domains as agents
banking    BANKING77, its 77 intents as agents, each fifth of the examples asked of the others
few        both with 5 and 10 examples each
channels   what the platform is for: channels of 6 agents with 4 to 8 capabilities and 5 to 10
           examples each, drawn from CLINC150; asked about what they offer, with and without typing
           errors, about what their domains have besides, about other domains, and out of scope
ablation   all of it but the LMOS data, in small, with one ingredient left out at a time
latency    a decision without its embedding, by the number of agents (10 examples each), and of
           CLINC150 as above; semantic-router beside it
fit        (only when asked for) the weights of `lmos.router.fit.Fit` from other such channels with
           0 to 100 examples, from CLINC150 with 5, 10 and 30, and from BANKING77 with a fifth of
           its intents left out, if 85 of 100 messages are for somebody

Peers see the same vectors: nearest neighbour, centroid, logistic regression (scikit-learn) and
semantic-router, as it comes and calibrated by its own fit. `accuracy` is that of the first
candidate, refused or not; `decided` counts a refusal of what is meant for somebody, and asking
back, X
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import router_fit
from lmos.llm import embedder
from lmos.llm.kept import KeptVectors
from lmos.model import Decision, Message, RoutableAgent
from lmos.router import RoutingRequest, RoutingTable, VectorRouter, evaluate
from lmos.router.specs import read_agents, read_labelled, with_examples
from lmos.router.texts import Block
from router_ablation import INGREDIENTS, without
from router_data import (
    KEPT,
    Asked,
    Data,
    Known,
    agent,
    agents_of,
    channel,
    drawn_of,
    grouped,
    strange,
    with_typos,
)
from router_measure import nearest, of_decisions, of_picks, right, share, times
from router_peers import FEW, PEERS, picked

#: Peers whose confidence is a probability.
PROBABLE = ("logistic regression", "semantic-router calibrated")


class Bench:
    """The data sets, and the embedder that turns them into vectors once."""

    def __init__(self, data: Path | None, channels: int, seeds: int) -> None:
        self.data = Data(data or Path())
        self.vectors = Known(KeptVectors(embedder(), KEPT))
        self.router = VectorRouter(self.vectors)
        self.channels_drawn = channels
        self.seeds = seeds

    async def decide(self, table: RoutingTable, texts: Iterable[str]) -> list[Decision]:
        return [
            await self.router.decide(RoutingRequest((Message(role="user", content=text),)), table)
            for text in texts
        ]

    async def ours(
        self, agents: Sequence[RoutableAgent], asked: Sequence[Asked], away: Sequence[Asked] = ()
    ) -> dict[str, Any]:
        """Our router's figures."""
        await self.vectors.embed([text for text, _ in (*asked, *away)])
        await self.vectors.embed([text for one in agents for text in Block.of(one).texts])
        began = time.perf_counter()
        table = await RoutingTable.build(agents, self.vectors)
        built = time.perf_counter() - began
        decisions = await self.decide(table, (text for text, _ in asked))
        refused = await self.decide(table, (text for text, _ in away))
        found = of_decisions(decisions, asked, refused)
        decided = times([d.timings["decide"] for d in decisions])
        return found | decided | {"tableSeconds": round(built, 1)}

    async def theirs(
        self,
        known: Sequence[Asked],
        asked: Sequence[Asked],
        away: Sequence[Asked] = (),
        names: Sequence[str] = tuple(PEERS),
    ) -> dict[str, Any]:
        """The peers' figures."""
        labels = {label: i for i, label in enumerate(sorted({label for _, label in known}))}
        x = await self.vectors.embed([text for text, _ in known])
        q = await self.vectors.embed([text for text, _ in (*asked, *away)])
        y, meant = (np.array([labels[label] for _, label in p]) for p in (known, asked))
        return {
            name: of_picks(found, meant, probable=name in PROBABLE, strange=len(away))
            for name, found in picked(x, y, q, names).items()
        }

    # --- the data sets ----------------------------------------------------------------------------

    async def lmos(self) -> dict[str, Any]:
        agents = read_agents(self.data.file("lmos-router-benchmark", "agentRoutingSpecs.json"))
        examples = read_labelled(self.data.file("lmos-router-benchmark", "train.csv"))
        rows = read_labelled(self.data.file("lmos-router-benchmark", "test-2000.csv"))
        found: dict[str, Any] = {}
        for name, known in (("examples", with_examples(agents, examples)), ("zeroShot", agents)):
            table = await RoutingTable.build(known, self.vectors)
            report = (await evaluate(self.router, table, rows)).data()
            decisions = await self.decide(table, (row.text for row in rows))
            asked = [(row.text, row.agent) for row in rows]
            keys = ("accuracy", "weightedF1", "ece")
            found[name] = {key: report[key] for key in keys} | {
                "nearest": share(map(nearest, decisions, asked)),
            }
        pairs = [(row.text, row.agent) for row in examples]
        return found | {"peers": await self.theirs(pairs, asked, names=FEW)}

    async def clinc(self) -> dict[str, Any]:
        sets, domains = self.data.clinc()
        train, val, away = sets["train"], sets["val"], strange(sets)
        owner = {intent: domain for domain in domains for intent in domains[domain]}
        by = grouped(train)
        ten = [agent(d, {intent: by[intent] for intent in domains[d]}) for d in domains]
        return {
            "router": await self.ours(agents_of(train), val, away),
            "peers": await self.theirs(train, val, away),
            "domains": await self.ours(ten, [(t, owner[i]) for t, i in val], away),
        }

    async def banking(self) -> dict[str, Any]:
        rows = self.data.banking()
        random.Random(1).shuffle(rows)
        ours, theirs = [], []
        for fold in range(5):
            known = [row for i, row in enumerate(rows) if i % 5 != fold]
            asked = rows[fold::5]
            ours.append(await self.ours(agents_of(known), asked))
            names = FEW if fold else tuple(PEERS)
            theirs.append(await self.theirs(known, asked, names=names))
        peers = {name: mean([fold[name] for fold in theirs if name in fold]) for name in PEERS}
        return {"router": mean(ours), "peers": peers}

    async def few(self) -> dict[str, Any]:
        sets, _ = self.data.clinc()
        banking, found = self.data.banking(), {}
        for count in (5, 10):
            for name in ("clinc", "banking"):
                ours, theirs = [], []
                for seed in range(self.seeds):
                    known = drawn_of(sets["train"] if name == "clinc" else banking, count, seed)
                    there = {text for text, _ in known}
                    asked = sets["val"] if name == "clinc" else banking[seed::4]
                    asked = [row for row in asked if row[0] not in there]
                    away = strange(sets) if name == "clinc" else ()
                    ours.append(await self.ours(agents_of(known), asked, away))
                    theirs.append(await self.theirs(known, asked, away, FEW))
                peers = {peer: mean([found[peer] for found in theirs]) for peer in FEW}
                found[f"{name}{count}"] = {"router": mean(ours), "peers": peers}
        return found

    async def channels(self) -> dict[str, Any]:
        sets, domains = self.data.clinc()
        train, val = grouped(sets["train"]), grouped(sets["val"])
        figures: dict[str, list[float]] = defaultdict(list)
        for number in range(self.channels_drawn):
            drawn = random.Random(number)
            agents, asked = channel(drawn, domains, train, val, (5, 10))
            asked["outOfScope"] = strange(sets)
            asked["typos"] = [(with_typos(drawn, text), who) for text, who in asked["offered"]]
            table = await RoutingTable.build(agents, self.vectors)
            for name, pairs in asked.items():
                decisions = await self.decide(table, (text for text, _ in pairs))
                figures[name].append(share(map(right, decisions, pairs)))
                if name in ("offered", "typos"):
                    figures[name + "Nearest"].append(share(map(nearest, decisions, pairs)))
        return {name: round(statistics.mean(values), 4) for name, values in figures.items()}

    async def ablation(self) -> dict[str, Any]:
        """Fewer messages than above, the same for all."""
        sets, _ = self.data.clinc()
        rows, away = self.data.banking(), strange(sets)
        random.Random(1).shuffle(rows)
        ten, banking10 = drawn_of(sets["train"], 10, 0), drawn_of(rows, 10, 0)
        there = {text for text, _ in banking10}
        few = [row for row in rows[::4] if row[0] not in there]
        found: dict[str, Any] = {}
        for name in INGREDIENTS:
            with without(name) as fit:
                self.router = VectorRouter(self.vectors, fit)
                found[name] = {
                    "clinc": await self.ours(agents_of(sets["train"]), sets["val"], away),
                    "clinc10": await self.ours(agents_of(ten), sets["val"], away),
                    "banking": await self.ours(agents_of(rows[2000:]), rows[:2000]),
                    "banking10": await self.ours(agents_of(banking10), few),
                    "channels": await self.channels(),
                }
        self.router = VectorRouter(self.vectors)
        return found

    async def fit(self) -> dict[str, Any]:
        return await router_fit.weights(self.data, self.vectors, self.channels_drawn)

    async def latency(self) -> dict[str, Any]:
        return {str(n): await decision_times(n) for n in (6, 10, 100, 1000, 10_000)}


def mean(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean of each figure."""
    return {key: round(statistics.mean(f[key] for f in found), 4) for key in found[0]}


class RandomVectors:
    """Vectors that mean nothing, for what does not depend on meaning."""

    name, d = "random", 384

    async def embed(self, texts: Sequence[str]) -> Any:
        made = np.random.default_rng(len(texts)).normal(size=(len(texts), self.d))
        return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


async def decision_times(count: int, repeats: int = 300) -> dict[str, Any]:
    """Milliseconds of a decision over that many agents with ten examples each."""
    vectors = RandomVectors()
    agents = [
        agent(f"a{i}", {"offer": [f"message {i}-{k}" for k in range(10)]}) for i in range(count)
    ]
    began = time.perf_counter()
    table = await RoutingTable.build(agents, vectors)
    built = time.perf_counter() - began
    router = VectorRouter(vectors)
    request = RoutingRequest((Message(role="user", content="a message like any other"),))
    decided = [(await router.decide(request, table)).timings["decide"] for _ in range(repeats)]
    found: dict[str, Any] = times(decided) | {"table": round(built * 1000, 1)}
    if count <= 1000:
        x = await vectors.embed([row.text for row in table.rows])
        y = np.repeat(np.arange(count), 11)
        asked = await vectors.embed(["asked"] * 50)
        beside = PEERS["semantic-router"](x, y[: len(x)], asked)
        found["semantic-router"] = times(beside.ms)
    return found


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--channels", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="lmos,clinc,banking,few,channels,ablation,latency")
    arguments = parser.parse_args()
    place = os.environ.get("LMOS_BENCH_DATA")
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    bench = Bench(Path(place) if place else None, arguments.channels, arguments.seeds)
    wanted = arguments.only.split(",") if place else ["latency"]
    sections: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
        name: getattr(bench, name) for name in wanted
    }
    found = {}
    for name, section in sections.items():
        found[name] = await section()
        print(json.dumps({name: found[name]}), file=sys.stderr)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    asyncio.run(main())
