"""How well and how fast the router decides, on public data sets.

    LMOS_BENCH_DATA=DIR python bench/router.py [--channels 20] [--only lmos,clinc,...]

DIR holds the folders `lmos-router-benchmark` (train.csv, test-2000.csv, agentRoutingSpecs.json),
`clinc150` (clinc150-train-val.json, domains.json) and `banking77` (train.csv); without it only the
latency is measured. Prints JSON:

lmos       the original's benchmark with its 3,000 examples, and from names and descriptions alone
clinc      150 intents of 10 domains as agents, every training example; how well out of scope is
           told apart (area under the ROC curve)
banking    77 intents of one bank as agents, 10 examples each
channels   what the platform is for: channels of 6 agents with 4 to 8 capabilities and 5 to 10
           examples each, drawn from CLINC150; asked about what they offer, with and without typing
           errors, about what their domains have besides, about other domains, and out of scope
latency    a decision without its embedding, by the number of agents (10 examples each)
fit        (only when asked for; with --channels 40 the numbers of `lmos.router.vector.Fit`) from
           other such channels with 0 to 100 examples, if 85 of 100 messages are for somebody

`accuracy` counts a refusal of what is meant for somebody as wrong; `nearest` is the share where the
first candidate is right, refused or not.
"""

import argparse
import asyncio
import csv
import json
import math
import os
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lmos.llm import embedder
from lmos.model import Capability, Decision, Embedder, Message, RoutableAgent
from lmos.router import RoutingRequest, RoutingTable, VectorRouter, evaluate, figures
from lmos.router.evaluation import in_scope
from lmos.router.fit import Fit
from lmos.router.specs import read_agents, read_labelled, with_examples

Texts = Mapping[str, Sequence[str]]
Asked = tuple[str, str]  # a message and the agent it is for, empty for none


Features = tuple[float, float, float]

#: What users are taken to ask, in shares of all messages.
SHARES = {"offered": 0.85, "outOfScope": 0.075, "elsewhere": 0.06, "beside": 0.015}


class Bench:
    """The data sets, and the embedder that turns them into vectors once."""

    def __init__(self, data: Path | None, vectors: Embedder, channels: int) -> None:
        self.data = data
        self.vectors = vectors
        self.router = VectorRouter(vectors)
        self.channels_drawn = channels

    def file(self, *parts: str) -> Path:
        assert self.data
        return self.data.joinpath(*parts)

    async def decide(self, table: RoutingTable, texts: Iterable[str]) -> list[Decision]:
        return [
            await self.router.decide(RoutingRequest((Message(role="user", content=text),)), table)
            for text in texts
        ]

    # --- the data sets ----------------------------------------------------------------------------

    async def lmos(self) -> dict[str, Any]:
        agents = read_agents(self.file("lmos-router-benchmark", "agentRoutingSpecs.json"))
        examples = read_labelled(self.file("lmos-router-benchmark", "train.csv"))
        rows = read_labelled(self.file("lmos-router-benchmark", "test-2000.csv"))
        found = {}
        for name, known in (("examples", with_examples(agents, examples)), ("zeroShot", agents)):
            table = await RoutingTable.build(known, self.vectors)
            figures = (await evaluate(self.router, table, rows)).data()
            decisions = await self.decide(table, (row.text for row in rows))
            asked = [(row.text, row.agent) for row in rows]
            found[name] = {
                "accuracy": figures["accuracy"],
                "weightedF1": figures["weightedF1"],
                "nearest": share(map(nearest, decisions, asked)),
            }
        return found

    async def clinc(self) -> dict[str, Any]:
        sets, domains = self._clinc()
        train = grouped(sets["train"])
        agents = [agent(d, {intent: train[intent] for intent in domains[d]}) for d in domains]
        table = await RoutingTable.build(agents, self.vectors)
        owner = {intent: domain for domain in domains for intent in domains[domain]}
        asked = [(text, owner[intent]) for text, intent in sets["val"]]
        meant = await self.decide(table, (text for text, _ in asked))
        strange = [text for part in ("oos_train", "oos_val") for text, _ in sets[part]]
        refused = await self.decide(table, strange)
        intents = [intent for _, intent in sets["val"]]
        return {
            "accuracy": share(map(right, meant, asked)),
            "nearest": share(map(nearest, meant, asked)),
            "intent": share(
                d.candidates[0].capability == i for d, i in zip(meant, intents, strict=True)
            ),
            "outOfScopeRecall": share(d.outcome == "out_of_scope" for d in refused),
            "outOfScopeAuroc": auroc(map(in_scope, meant), map(in_scope, refused)),
        }

    async def banking(self) -> dict[str, Any]:
        with self.file("banking77", "train.csv").open(encoding="utf-8", newline="") as file:
            by = grouped((row["text"], row["category"]) for row in csv.DictReader(file))
        drawn = random.Random(1)
        shuffled = {
            name: drawn.sample(texts, min(len(texts), 40)) for name, texts in sorted(by.items())
        }
        agents = [agent(name, {name: texts[:10]}) for name, texts in shuffled.items()]
        asked = [(text, name) for name, texts in shuffled.items() for text in texts[10:]]
        table = await RoutingTable.build(agents, self.vectors)
        decisions = await self.decide(table, (text for text, _ in asked))
        return {
            "accuracy": share(map(right, decisions, asked)),
            "nearest": share(map(nearest, decisions, asked)),
        }

    async def channels(self) -> dict[str, Any]:
        sets, domains = self._clinc()
        train, val = grouped(sets["train"]), grouped(sets["val"])
        strange = [(text, "") for part in ("oos_train", "oos_val") for text, _ in sets[part]]
        figures: dict[str, list[float]] = defaultdict(list)
        for number in range(self.channels_drawn):
            drawn = random.Random(number)
            agents, asked = channel(drawn, domains, train, val, (5, 10))
            asked["outOfScope"] = strange
            asked["typos"] = [(with_typos(drawn, text), who) for text, who in asked["offered"]]
            table = await RoutingTable.build(agents, self.vectors)
            for name, pairs in asked.items():
                decisions = await self.decide(table, (text for text, _ in pairs))
                figures[name].append(share(map(right, decisions, pairs)))
                if name in ("offered", "typos"):
                    figures[name + "Nearest"].append(share(map(nearest, decisions, pairs)))
        return {name: round(statistics.mean(values), 4) for name, values in figures.items()}

    async def latency(self) -> dict[str, Any]:
        return {str(n): await decision_times(n) for n in (6, 10, 100, 1000)}

    async def fit(self) -> dict[str, Any]:
        sets, domains = self._clinc()
        train, val = grouped(sets["train"]), grouped(sets["val"])
        strange = [(text, "") for part in ("oos_train", "oos_val") for text, _ in sets[part]]
        seen: dict[str, list[Features]] = {kind: [] for kind in SHARES}
        loss = dict.fromkeys((0.02, 0.03, 0.04, 0.05, 0.06), 0.0)
        for number in range(self.channels_drawn):
            drawn = random.Random(1000 + number)
            examples = drawn.choice(((0, 0), (1, 3), (5, 10), (20, 40), (100, 100)))
            agents, asked = channel(drawn, domains, train, val, examples)
            table = await RoutingTable.build(agents, self.vectors)
            for kind, pairs in {**asked, "outOfScope": strange}.items():
                self.router = VectorRouter(self.vectors, Recorder(seen=seen[kind]))
                await self.decide(table, (text for text, _ in pairs))
            for temperature in loss:
                self.router = VectorRouter(self.vectors, Fit(temperature=temperature))
                decisions = await self.decide(table, (text for text, _ in asked["offered"]))
                loss[temperature] += sum(map(surprise, decisions, asked["offered"]))
        weights = logistic(seen)
        names = ("score", "lead", "texts", "bias")
        found = {name: round(float(w), 2) for name, w in zip(names, weights, strict=True)}
        return {**found, "temperature": min(loss, key=lambda t: loss[t])}

    def _clinc(self) -> tuple[dict[str, list[list[str]]], dict[str, list[str]]]:
        return (
            json.loads(self.file("clinc150", "clinc150-train-val.json").read_text()),
            json.loads(self.file("clinc150", "domains.json").read_text()),
        )


# --- channels drawn from a data set ---------------------------------------------------------------


def channel(
    drawn: random.Random, domains: Texts, train: Texts, val: Texts, examples: tuple[int, int]
) -> tuple[list[RoutableAgent], dict[str, list[Asked]]]:
    """Six domains as agents with so many examples, and what is asked: of what they offer, of their
    domains' other intents, and of the other domains.
    """
    agents = []
    asked: dict[str, list[Asked]] = {"offered": [], "beside": [], "elsewhere": []}
    chosen = drawn.sample(sorted(domains), 6)
    for domain in chosen:
        offered = drawn.sample(domains[domain], drawn.randint(4, 8))
        known = {i: drawn.sample(list(train[i]), drawn.randint(*examples)) for i in offered}
        agents.append(agent(domain, known))
        asked["offered"] += [(text, domain) for i in offered for text in val[i]]
        asked["beside"] += [
            (t, "") for i in set(domains[domain]) - set(offered) for t in val[i][:4]
        ]
    others = [i for domain in domains if domain not in chosen for i in domains[domain]]
    asked["elsewhere"] = [(text, "") for i in others for text in val[i][:4]]
    return agents, asked


def with_typos(drawn: random.Random, text: str) -> str:
    """The text with one typing error in ten letters or so: left out, doubled, swapped, replaced."""
    letters = list(text)
    for _ in range(max(1, len(text) // 12)):
        at = drawn.randrange(len(letters) - 1) if len(letters) > 2 else 0
        kind = drawn.choice(("drop", "double", "swap", "replace"))
        if kind == "drop":
            del letters[at]
        elif kind == "double":
            letters.insert(at, letters[at])
        elif kind == "swap":
            letters[at : at + 2] = letters[at : at + 2][::-1]
        else:
            letters[at] = drawn.choice("abcdefghijklmnopqrstuvwxyz")
    return "".join(letters)


def agent(name: str, examples: Texts) -> RoutableAgent:
    offers = tuple(
        Capability(name=intent, version="1.0.0", examples=tuple(texts))
        for intent, texts in examples.items()
    )
    return RoutableAgent(name=name, capabilities=offers)


def grouped(pairs: Iterable[Sequence[str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for text, label in pairs:
        found[label].append(text)
    return found


# --- fitting --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recorder(Fit):
    """Keeps what each message was judged by."""

    seen: list[Features] = field(default_factory=list)

    def meant(self, score: float, lead: float, texts: int) -> float:
        self.seen.append((score, lead, math.log(texts)))
        return super().meant(score, lead, texts)


def logistic(seen: Mapping[str, Sequence[Features]]) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Weights of the features, then the bias, by Newton's method; each kind has its share."""
    x = np.concatenate([np.c_[np.array(rows), np.ones(len(rows))] for rows in seen.values()])
    meant = np.concatenate([np.full(len(rows), kind == "offered") for kind, rows in seen.items()])
    share_of = [np.full(len(rows), SHARES[kind] / len(rows)) for kind, rows in seen.items()]
    weight = np.concatenate(share_of)
    found = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ found))
        curvature = (x * (weight * p * (1 - p))[:, None]).T @ x
        found -= np.linalg.solve(curvature, x.T @ (weight * (p - meant)))
    return found


def surprise(decision: Decision, asked: Asked) -> float:
    """The negative logarithm of the right agent's share."""
    mine = next((c.probability for c in decision.candidates if c.agent == asked[1]), 0.0)
    return -math.log(max(mine, 1e-4) / max(in_scope(decision), 1e-4))


# --- figures --------------------------------------------------------------------------------------


def right(decision: Decision, asked: Asked) -> bool:
    return (decision.agent or "") == asked[1]


def nearest(decision: Decision, asked: Asked) -> bool:
    return bool(decision.candidates) and decision.candidates[0].agent == asked[1]


def share(values: Iterable[bool]) -> float:
    found = list(values)
    return round(sum(found) / len(found), 4)


def auroc(meant: Iterable[float], strange: Iterable[float]) -> float:
    """The probability that a message that is meant scores higher than one that is not."""
    scored = [*((score, True) for score in meant), *((score, False) for score in strange)]
    return round(figures.auroc(scored) or 0.0, 4)


class RandomVectors:
    """Vectors that mean nothing, for what does not depend on meaning."""

    name, d = "random", 384

    async def embed(self, texts: Sequence[str]) -> Any:
        made = np.random.default_rng(len(texts)).normal(size=(len(texts), self.d))
        return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


async def decision_times(count: int, repeats: int = 300) -> dict[str, float]:
    """Milliseconds of a decision over that many agents."""
    vectors = RandomVectors()
    agents = [
        agent(f"agent-{n}", {f"offer-{n}": [f"text {n} {m}" for m in range(10)]})
        for n in range(count)
    ]
    began = time.perf_counter()
    table = await RoutingTable.build(agents, vectors)
    built = time.perf_counter() - began
    router = VectorRouter(vectors)
    request = RoutingRequest((Message(role="user", content="a message like any other"),))
    times = []
    for _ in range(repeats):
        decision = await router.decide(request, table)
        times.append(decision.timings["decide"])
    found = statistics.quantiles(times, n=100)
    return {"p50": round(found[49], 3), "p99": round(found[98], 3), "table": round(built * 1000, 1)}


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--channels", type=int, default=20)
    parser.add_argument("--only", default="lmos,clinc,banking,channels,latency")
    arguments = parser.parse_args()
    place = os.environ.get("LMOS_BENCH_DATA")
    bench = Bench(Path(place) if place else None, embedder(), arguments.channels)
    wanted = arguments.only.split(",") if place else ["latency"]
    print(json.dumps({name: await getattr(bench, name)() for name in wanted}, indent=2))


if __name__ == "__main__":
    asyncio.run(main())
