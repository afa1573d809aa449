"""How fast the router decides with many agents, and how a table of them is swapped.

    LMOS_BENCH_DATA=DIR python bench/router_scale.py [--agents 10,100,1000,10000]
                                                     [--only decision,same,full,swap] [--no-rival]

DIR holds `clinc150` (clinc150-train-val.json) and `banking77` (train.csv). An agent has one of
their 227 intents with 10 of its examples, each mixed with the agent's own topic, the vector of some
other sentence: so 10,000 agents differ as the agents of 10,000 subjects would. Messages are
sentences that were left out, mixed likewise; every fifth is out of scope. One core does the
arithmetic. Prints JSON, milliseconds; `cpu` is processor time, which other work on the machine
changes little.

decision  a decision without its embedding, by the number of agents, and semantic-router in its own
          environment (made on first use from `bench/rivals/semantic-router.txt`) on the same
          vectors, with at most 1,000 agents: to build its index takes it longer than all the rest
same      how often the decision is the one that looking at every row would give
full      a decision with its embedding by the model that comes with the package, and one on a text
          that was embedded before
swap      decisions at 200 a second on the largest table: how long one waits, counted from when it
          was due, while nothing is changed, while one agent changes again and again, and while the
          whole table is replaced; and how long it takes until the new table decides
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import asyncio
import csv
import dataclasses
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent import Framework
from lmos.llm import embedder
from lmos.llm.minilm import MiniLM
from lmos.model import Capability, Decision, Message, RoutableAgent
from lmos.protocols.loop import settled
from lmos.router import RoutingRequest, RoutingTable, VectorRouter

EXAMPLES, LEFT_OUT = 10, 4
TOPIC = 0.6
RATE = 200
#: Agents up to which the rival is asked.
RIVALLED = 1000
HERE = Path(__file__).resolve().parent


class Sentences:
    """Real sentences with their vectors: examples and left-out messages of each intent, and what is
    out of scope.
    """

    def __init__(self, data: Path) -> None:
        drawn = random.Random(1)
        by_intent: dict[str, list[str]] = defaultdict(list)
        sets = json.loads((data / "clinc150" / "clinc150-train-val.json").read_text())
        for text, intent in sets["train"]:
            by_intent[intent].append(text)
        with (data / "banking77" / "train.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                by_intent["bank " + row["category"]].append(row["text"].strip())
        self.examples: dict[str, list[str]] = {}
        self.left_out: dict[str, list[str]] = {}
        for intent, texts in sorted(by_intent.items()):
            some = drawn.sample(sorted(set(texts)), min(len(texts), 3 * EXAMPLES + LEFT_OUT) // 2)
            self.left_out[intent], self.examples[intent] = some[:LEFT_OUT], some[LEFT_OUT:]
        self.strange = [text for part in ("oos_train", "oos_val") for text, _ in sets[part]]
        self.all = [*self.strange]
        for intent in self.examples:
            self.all += self.examples[intent] + self.left_out[intent]

    async def embed(self) -> None:
        vectors = await embedder().embed(self.all)
        self.vectors = dict(zip(self.all, vectors, strict=True))

    def mixed(self, text: str, topic: str) -> Any:
        vector = self.vectors[text] + TOPIC * self.vectors[topic]
        return vector / np.linalg.norm(vector)


class Given:
    """An `Embedder` of texts whose vectors are known."""

    name, d = "given", 384

    def __init__(self) -> None:
        self.vectors: dict[str, Any] = {}

    async def embed(self, texts: Sequence[str]) -> Any:
        return np.stack([self.vectors[text] for text in texts])


@dataclass
class Case:
    """Agents, and messages with the name of the agent that each is for."""

    agents: list[RoutableAgent]
    given: Given
    messages: list[str]
    meant: list[str | None]

    @property
    def examples(self) -> Any:
        texts = [agent.capabilities[0].examples for agent in self.agents]
        return np.stack([[self.given.vectors[text] for text in some] for some in texts])

    @property
    def queries(self) -> Any:
        return np.stack([self.given.vectors[text] for text in self.messages])


def case(sentences: Sentences, agents: int, messages: int = 500, seed: int = 1) -> Case:
    drawn, given = random.Random(seed), Given()
    intents, made, topics, kinds = sorted(sentences.examples), [], [], []
    for number in range(agents):
        intent, topic = drawn.choice(intents), drawn.choice(sentences.all)
        texts = drawn.sample(sentences.examples[intent], EXAMPLES)
        name = f"agent {seed} {number}"
        for text in texts:
            given.vectors[f"{text} {name}"] = sentences.mixed(text, topic)
        given.vectors[name] = sentences.mixed(texts[0], topic)
        made.append(agent(name, [f"{text} {name}" for text in texts]))
        topics.append(topic)
        kinds.append(intent)
    asked: list[str] = []
    meant: list[str | None] = []
    for number in range(messages):
        strange = number % 5 == 4
        chosen = drawn.randrange(agents)
        text = drawn.choice(sentences.strange if strange else sentences.left_out[kinds[chosen]])
        topic = drawn.choice(sentences.all) if strange else topics[chosen]
        given.vectors[f"{text} message {number}"] = sentences.mixed(text, topic)
        asked.append(f"{text} message {number}")
        meant.append(None if strange else made[chosen].name)
    return Case(made, given, asked, meant)


def agent(name: str, examples: Sequence[str]) -> RoutableAgent:
    offer = Capability(id="c", name=name, version="1.0.0", examples=tuple(examples))
    return RoutableAgent(name=name, capabilities=(offer,))


async def tabled(case: Case) -> RoutingTable:
    """The table of a case, with the vectors of its messages known as they are after spelling."""
    table = await RoutingTable.build(case.agents, case.given)
    known(case, table)
    return table


def known(case: Case, *tables: RoutingTable) -> None:
    for table in tables:
        for text in case.messages:
            corrected = table.spelling.corrected(text)
            case.given.vectors[corrected] = case.given.vectors[text]


def request(text: str) -> RoutingRequest:
    return RoutingRequest((Message(role="user", content=text),))


# --- a decision -----------------------------------------------------------------------------------


async def decision(sentences: Sentences, sizes: list[int], rival: bool) -> dict[str, Any]:
    found = {}
    for agents in sizes:
        one = case(sentences, agents, messages=200)
        table = await tabled(one)
        router = VectorRouter(one.given)
        times, cpu, right = [], [], 0
        for text, meant in zip(one.messages, one.meant, strict=True):
            began, used = time.perf_counter(), time.thread_time()
            decided = await router.decide(request(text), table)
            times.append((time.perf_counter() - began) * 1000)
            cpu.append((time.thread_time() - used) * 1000)
            right += decided.agent == meant
        found[agents] = {"lmos": figures(times, cpu) | {"right": right / len(times)}}
        if rival:
            bounded = {"notRun": f"more than {RIVALLED} agents"}
            few = agents <= RIVALLED
            found[agents]["semantic-router"] = rivalling(one) if few else bounded
    return found


def rivalling(one: Case) -> dict[str, Any]:
    python = Framework("semantic_router_side", "semantic-router", "semantic-router").python()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npz"
        np.savez(path, examples=one.examples, queries=one.queries)
        side = HERE / "rivals" / "semantic_router_side.py"
        output = subprocess.run([python, side, path], check=True, capture_output=True, text=True)
    told = json.loads(output.stdout)
    names = [None if name is None else one.agents[int(name)].name for name in told["found"]]
    right = sum(name == meant for name, meant in zip(names, one.meant, strict=True))
    figured = figures(told["times"], told["cpu"])
    return figured | {"right": right / len(names), "version": told["version"]}


def figures(times: Sequence[float], cpu: Sequence[float] = ()) -> dict[str, float]:
    found = {"p50": quantile(times, 50), "p99": quantile(times, 99)}
    return found | ({"cpuP50": quantile(cpu, 50)} if cpu else {})


def quantile(values: Sequence[float], percent: float) -> float:
    return round(float(np.percentile(values, percent)), 3)


# --- the same as exact ----------------------------------------------------------------------------


async def same(sentences: Sentences, sizes: list[int]) -> dict[str, Any]:
    found = {}
    for agents in sizes:
        one = case(sentences, agents, messages=2000, seed=2)
        table = await tabled(one)
        if table.centres is None:
            continue
        exact = dataclasses.replace(table, centres=None)
        router = VectorRouter(one.given)
        alike = first = 0
        rows = []
        for text in one.messages:
            quick, thorough = [await router.decide(request(text), t) for t in (table, exact)]
            alike += (quick.outcome, quick.agent) == (thorough.outcome, thorough.agent)
            first += quick.candidates[0].agent == thorough.candidates[0].agent
            rows.append(len(table.near(one.given.vectors[text]).rows))
        count = len(one.messages)
        found[agents] = {
            "sameDecision": alike / count,
            "sameFirstCandidate": first / count,
            "rowsLookedAt": float(np.median(rows)),
            "rows": len(table.rows),
        }
    return found


# --- with the embedding ---------------------------------------------------------------------------


async def full(sentences: Sentences) -> dict[str, Any]:
    model = MiniLM()
    agents = [
        agent(intent, texts[:EXAMPLES]) for intent, texts in list(sentences.examples.items())[:100]
    ]
    table = await RoutingTable.build(agents, embedder())
    router = VectorRouter(model)
    texts = [text for some in sentences.left_out.values() for text in some][:400]
    await model.embed(["warm"])
    new = [await timed(lambda text=text: router.decide(request(text), table)) for text in texts]
    again = [await timed(lambda text=text: router.decide(request(text), table)) for text in texts]
    return {
        "agents": len(agents),
        "new": figures(new),
        "repeated": figures(again),
    }


async def timed(work: Callable[[], Awaitable[Any]]) -> float:
    began = time.perf_counter()
    await work()
    return (time.perf_counter() - began) * 1000


# --- swapping -------------------------------------------------------------------------------------


class Traffic:
    """Decisions at a fixed rate, on whatever table is in force."""

    def __init__(self, one: Case, table: RoutingTable) -> None:
        self.table = table
        self.one = one
        self.router = VectorRouter(one.given)
        self.waits: list[float] = []
        self.failed = 0

    async def during(self, work: Awaitable[Any]) -> tuple[Any, dict[str, Any]]:
        """What the work gives, and how the decisions fared meanwhile."""
        self.waits, self.failed = [], 0
        task = asyncio.ensure_future(work)
        began, number = time.perf_counter(), 0
        running: set[asyncio.Task[None]] = set()
        while not task.done():
            due = began + number / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            text = self.one.messages[number % len(self.one.messages)]
            running.add(asyncio.ensure_future(self._decide(text, due)))
            running = {t for t in running if not t.done()}
            number += 1
        await asyncio.gather(*running)
        told = {"decisions": number, "failed": self.failed, **figures(self.waits)}
        return await task, told | {"worst": round(max(self.waits), 3)}

    async def _decide(self, text: str, due: float) -> None:
        try:
            decided: Decision = await self.router.decide(request(text), self.table)
            self.failed += not decided.candidates
        except Exception as error:
            print(f"a decision failed: {error!r}", file=sys.stderr)
            self.failed += 1
        self.waits.append((time.perf_counter() - due) * 1000)


async def swap(sentences: Sentences, agents: int) -> dict[str, Any]:
    one, other = case(sentences, agents), case(sentences, agents, seed=3)
    table = await tabled(one)
    changed = [changing(one, n) for n in range(20)]
    one.given.vectors |= other.given.vectors
    known(one, await RoutingTable.build(other.agents, one.given))
    traffic = Traffic(one, table)
    settled()  # as the runtime does when it has started
    _, quiet = await traffic.during(asyncio.sleep(3))
    live, changes = await traffic.during(swapped_often(traffic, changed))
    seconds, replaced = await traffic.during(swapped(traffic, other.agents))
    return {
        "agents": agents,
        "rows": len(table.rows),
        "load": [round(of, 1) for of in os.getloadavg()],
        "cores": os.cpu_count(),
        "nothing": quiet,
        "oneAgent": changes | {"live": figures(live), "swaps": len(live)},
        "everything": replaced | {"liveSeconds": round(seconds / 1000, 2)},
    }


def changing(one: Case, number: int) -> list[RoutableAgent]:
    """The agents of a case, one of them with another example."""
    agents = list(one.agents)
    place = (number * 487) % len(agents)
    before = agents[place].capabilities[0].examples
    text = f"{before[0]} again {number}"
    one.given.vectors[text] = one.given.vectors[before[0]]
    agents[place] = agent(agents[place].name, (*before[1:], text))
    return agents


async def swapped(traffic: Traffic, agents: list[RoutableAgent]) -> float:
    """Milliseconds until a table of these agents decides."""
    began = time.perf_counter()
    traffic.table = await RoutingTable.build(agents, traffic.one.given, traffic.table)
    return (time.perf_counter() - began) * 1000


async def swapped_often(traffic: Traffic, changes: list[list[RoutableAgent]]) -> list[float]:
    found = []
    for agents in changes:
        found.append(await swapped(traffic, agents))
        await asyncio.sleep(0.1)
    return found


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--agents", default="10,100,1000,10000")
    parser.add_argument("--only", default="decision,same,full,swap")
    parser.add_argument("--no-rival", action="store_true")
    arguments = parser.parse_args()
    place = os.environ.get("LMOS_BENCH_DATA")
    if not place:
        raise SystemExit("set LMOS_BENCH_DATA to the folder of the data sets")
    sizes = [int(size) for size in arguments.agents.split(",")]
    sentences = Sentences(Path(place))
    await sentences.embed()
    kinds: dict[str, Callable[[], Awaitable[Any]]] = {
        "decision": lambda: decision(sentences, sizes, not arguments.no_rival),
        "same": lambda: same(sentences, sizes),
        "full": lambda: full(sentences),
        "swap": lambda: swap(sentences, max(sizes)),
    }
    print(json.dumps({k: await kinds[k]() for k in arguments.only.split(",")}, indent=2))


if __name__ == "__main__":
    asyncio.run(main())
