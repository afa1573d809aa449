"""How well the router does where agents say little of themselves, and in conversations.

    LMOS_BENCH_DATA=DIR python bench/router_few.py [--only zeroShot,...] [--rows 1500]

DIR holds the folders `lmos-router-benchmark`, `clinc150` and `banking77` as for `bench/router.py`.
Prints JSON; `maxSimilarity` and `centroid` are the peers, on the same vectors:

zeroShot      names and descriptions alone: the original's benchmark (train rows, which the choices
              were made on, and test rows, which nothing was), CLINC150 and BANKING77 by their names
fewShot       CLINC150 and BANKING77 with 1, 2, 3 and 5 examples an agent; `mixed`: agents with 0 to
              100 examples side by side, by how many the agent that is meant has
leaveOneOut   each agent of the original's benchmark left out in turn: the share of its messages
              that is refused when 95 of 100 of the others' are accepted, and at the fit's threshold
conversation  second messages of conversations put together from CLINC150's val rows and from
              follow-ups that nothing was fitted to: the share that reaches its agent
fit           (only when asked for) the numbers of `scoring.described.Odds` and of
              `conversation.Prior`, on other draws
"""

import argparse
import asyncio
import json
import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lmos.llm import embedder
from lmos.llm.kept import KeptVectors
from lmos.model import Embedder, Message, RoutableAgent
from lmos.router import RoutingRequest, RoutingTable, VectorRouter
from lmos.router.conversation import texts_of
from lmos.router.evaluation import in_scope
from lmos.router.followup import form_of
from lmos.router.scoring.described import Odds, likeness
from lmos.router.specs import Labelled, read_agents, read_labelled, with_examples
from router_data import COUNTS, KEPT, Known, agent, channel, grouped, with_counts
from router_measure import share

Vectors = np.ndarray[Any, np.dtype[np.float64]]
Asked = tuple[str, str]  # a message and the agent it is for, empty for none
Exchange = tuple[str, str, str, str, str]  # said before, whose it was, said now, whose, of a kind

#: What belongs to the agent that answered last, whoever that is. Every other one is fitted to.
FOLLOW_UPS = """
and the one before?
why is that?
how much is that
cancel it
can you explain that
and last month?
what about tomorrow?
yes please
no
in Munich
4711
the second one
are you sure?
since when?
what does that mean
how long does that take
and the other one
both of them
ok, do it
I did that already
that is not what I meant
until when is it valid
and for my wife?
make it two
next Friday
show me the details
is there a cheaper one
do the same for the other account
it still doesn't work
change it to Monday
what do I need for that?
and after that?
for how many people
the blue one
tell me more about it
can I do that online
about 200
only this month
not that one
who can do this for me
does it cost anything
send it to me
please check again
how do I do this
then take the first
forget it
what was it again
and in Japan?
""".strip().splitlines()


class Bench:
    """The data sets, and the embedder that turns them into vectors once."""

    def __init__(self, data: Path, vectors: Embedder, rows: int) -> None:
        self.data = data
        self.vectors = vectors
        self.rows = rows
        self.router = VectorRouter(vectors)

    # --- data -------------------------------------------------------------------------------------

    def lmos(self) -> tuple[list[RoutableAgent], list[Labelled], list[Labelled]]:
        place = self.data / "lmos-router-benchmark"
        rows = [read_labelled(place / name) for name in ("train.csv", "test-2000.csv")]
        return read_agents(place / "agentRoutingSpecs.json"), *rows

    def sets(self) -> dict[str, tuple[dict[str, list[str]], list[Asked]]]:
        """By name of the set: texts to take examples from, and messages to ask."""
        clinc, _ = self.clinc()
        banking = grouped(
            (row["text"], row["category"]) for row in _rows(self.data / "banking77" / "train.csv")
        )
        drawn = random.Random(1)
        shuffled = {name: drawn.sample(texts, len(texts)) for name, texts in banking.items()}
        asked = [(text, name) for name, texts in shuffled.items() for text in texts[-25:]]
        return {
            "clinc": (grouped(clinc["train"]), [(text, intent) for text, intent in clinc["val"]]),
            "banking": ({name: texts[:-25] for name, texts in shuffled.items()}, asked),
        }

    def clinc(self) -> tuple[dict[str, list[list[str]]], dict[str, list[str]]]:
        place = self.data / "clinc150"
        return (
            json.loads((place / "clinc150-train-val.json").read_text()),
            json.loads((place / "domains.json").read_text()),
        )

    # --- sections ---------------------------------------------------------------------------------

    async def zeroShot(self) -> dict[str, Any]:  # noqa: N802  (named as printed)
        agents, train, test = self.lmos()
        found = {}
        for name, rows in (("lmosTrain", train), ("lmosTest", test)):
            asked = [(row.text, row.agent) for row in rows]
            found[name] = await self.compared(agents, asked)
        for name, (texts, asked) in self.sets().items():
            bare = [agent(intent, {intent: ()}) for intent in sorted(texts)]
            found[name] = await self.compared(bare, self.some(asked))
        return found

    async def fewShot(self) -> dict[str, Any]:  # noqa: N802
        found: dict[str, Any] = {}
        for name, (texts, asked) in self.sets().items():
            for count in (1, 2, 3, 5):
                drawn = random.Random(count)
                few = {i: drawn.sample(known, count) for i, known in sorted(texts.items())}
                agents = [agent(intent, {intent: known}) for intent, known in few.items()]
                found[f"{name}{count}"] = await self.compared(agents, self.some(asked))
            found[f"{name}Mixed"] = await self.mixed(texts, asked)
        return found

    async def mixed(self, texts: Mapping[str, Sequence[str]], asked: list[Asked]) -> dict[str, Any]:
        right: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
        for number in range(8):
            drawn = random.Random(number)
            counts = {intent: drawn.choice(COUNTS) for intent in drawn.sample(sorted(texts), 30)}
            agents = with_counts(counts, texts, drawn)
            mine = [pair for pair in asked if pair[1] in counts]
            for way, hits in (await self.hits(agents, drawn.sample(mine, 150))).items():
                for (_, intent), hit in hits:
                    right[way][str(counts[intent])].append(hit)
                    right[way]["all"].append(hit)
        return {way: {n: share(hits) for n, hits in by.items()} for way, by in right.items()}

    async def leaveOneOut(self) -> dict[str, Any]:  # noqa: N802
        agents, train, test = self.lmos()
        found = {}
        for absent in agents:
            others = [one for one in agents if one.name != absent.name]
            known = with_examples(others, [row for row in train if row.agent != absent.name])
            table = await RoutingTable.build(known, self.vectors)
            meant = [
                in_scope(await self.decide(table, r.text)) for r in test if r.agent != absent.name
            ]
            strange = [await self.decide(table, r.text) for r in test if r.agent == absent.name]
            bar = float(np.quantile(meant, 0.05))
            found[absent.name] = {
                "refusedAt95": share(in_scope(decision) < bar for decision in strange),
                "refused": share(decision.agent is None for decision in strange),
            }
        means = {
            k: round(float(np.mean([f[k] for f in found.values()])), 4)
            for k in found[agents[0].name]
        }
        return {"mean": means, **found}

    async def conversation(self) -> dict[str, Any]:
        hits: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
        for number in range(6):
            drawn = random.Random(number)
            table, exchanges = await self.exchanges(drawn, FOLLOW_UPS[1::2])
            for before, active, text, meant, kind in exchanges:
                said = (before, text)
                ways = {
                    "router": await self.decide(table, *said, active=active),
                    "withoutPrior": await self.decide(table, text),
                    "joined": await self.decide(table, " ".join(said)),
                }
                for way, decision in ways.items():
                    hits[way][kind].append((decision.agent or "") == meant)
                hits["alwaysStays"][kind].append(active == meant)
        return {way: {k: share(v) for k, v in sorted(by.items())} for way, by in hits.items()}

    # --- fitting ----------------------------------------------------------------------------------

    async def fit(self) -> dict[str, Any]:
        return {"odds": await self.fit_odds(), "conversation": await self.fit_prior()}

    async def fit_odds(self, tables: int = 24) -> dict[str, float]:
        """Conditional logit of which capability is meant, or none."""
        seen: list[tuple[Vectors, int]] = []
        for name, (texts, asked) in self.sets().items():
            for number in range(tables):
                drawn = random.Random(f"{name}{number}")
                counts = {i: drawn.choice(COUNTS) for i in drawn.sample(sorted(texts), 30)}
                table = await RoutingTable.build(with_counts(counts, texts, drawn), self.vectors)
                mine = [pair for pair in asked if pair[1] in counts]
                others = [pair for pair in asked if pair[1] not in counts]
                pairs = [*drawn.sample(mine, 75), *drawn.sample(others, 25)]
                for vector, (_, intent) in zip(await self.embedded(pairs), pairs, strict=True):
                    places = {n: i for i, n in enumerate(table.names)}
                    x = _told(table, vector)
                    seen.append((x, places.get(intent, len(x) - 1)))
        names = [*Odds.model_fields]
        weights = conditional_logit(seen, np.array([1.0] * 4 + [0.0] * 3))
        return {n: round(float(w), 2) for n, w in zip(names, weights, strict=True)}

    async def fit_prior(self, channels: int = 16) -> dict[str, dict[str, float]]:
        """By form, a conditional logit of whose a message is, or nobody's."""
        seen: dict[str, list[tuple[Vectors, int]]] = defaultdict(list)
        for number in range(channels):
            drawn = random.Random(1000 + number)
            table, exchanges = await self.exchanges(drawn, FOLLOW_UPS[::2])
            for before, active, text, meant, _ in exchanges:
                request = _request(before, text, active=active)
                form = form_of(text)
                shares = [
                    _shares(await self.decide(table, part), table)
                    for part in texts_of(request, form)
                ]
                x = np.zeros((len(table.names) + 1, 4))
                x[:, 0], x[:, 1] = np.log(np.maximum([shares[0], shares[-1]], 1e-4))
                x[table.names.index(active), 2] = 1
                x[-1, 3] = 1
                seen[form].append((x, table.names.index(meant) if meant else len(x) - 1))
        found = {}
        for form, rows in seen.items():
            weights = conditional_logit(rows, np.array([0.5, 0.5, 1.0, 0.0]), hold=2.0)
            names = ("alone", "joined", "active", "nobody")
            found[form] = {n: round(float(w), 2) for n, w in zip(names, weights, strict=True)}
        return found

    # --- parts ------------------------------------------------------------------------------------

    async def exchanges(
        self, drawn: random.Random, follow_ups: Sequence[str]
    ) -> tuple[RoutingTable, list[Exchange]]:
        """A channel of six agents, and conversations of two messages each on it."""
        sets, domains = self.clinc()
        train, val = grouped(sets["train"]), grouped(sets["val"])
        agents, asked = channel(drawn, domains, train, val, (5, 10))
        table = await RoutingTable.build(agents, self.vectors)
        strange = [text for part in ("oos_train", "oos_val") for text, _ in sets[part]]
        return table, list(_exchanges(drawn, asked["offered"], strange, follow_ups))

    def some(self, asked: list[Asked]) -> list[Asked]:
        return random.Random(0).sample(asked, min(self.rows, len(asked)))

    async def decide(self, table: RoutingTable, *said: str, active: str | None = None) -> Any:
        return await self.router.decide(_request(*said, active=active), table)

    async def embedded(self, asked: Sequence[Asked]) -> Any:
        return await self.vectors.embed([text for text, _ in asked])

    async def compared(self, agents: list[RoutableAgent], asked: list[Asked]) -> dict[str, float]:
        return {
            way: share(h for _, h in of) for way, of in (await self.hits(agents, asked)).items()
        }

    async def hits(
        self, agents: list[RoutableAgent], asked: list[Asked]
    ) -> dict[str, list[tuple[Asked, bool]]]:
        """Of each way to choose whether its first choice, refused or not, is right."""
        table = await RoutingTable.build(agents, self.vectors)
        plain = await plain_rows(agents, self.vectors)
        vectors = await self.embedded(asked)
        chosen: dict[str, list[str]] = defaultdict(list)
        for (text, _), vector in zip(asked, vectors, strict=True):
            decision = await self.decide(table, text)
            chosen["router"].append(decision.candidates[0].agent)
            chosen["routed"].append(decision.agent or "")
            for way, choose in plain.items():
                chosen[way].append(choose(vector))
        return {
            way: [(pair, name == pair[1]) for pair, name in zip(asked, names, strict=True)]
            for way, names in chosen.items()
        }


async def plain_rows(
    agents: Sequence[RoutableAgent], vectors: Embedder
) -> dict[str, Callable[[Vectors], str]]:
    """The peers: the agent of the nearest text (examples, descriptions, names), and of the nearest
    mean of an agent's capability's texts.
    """
    texts, owners, means, of = [], [], [], []
    for one in agents:
        for offer in one.capabilities:
            words = (*offer.examples, offer.description, offer.name.replace("_", " "))
            told = [text for text in words if text]
            texts += told
            owners += [one.name] * len(told)
            means.append((await vectors.embed(told)).mean(0))
            of.append(one.name)
    rows = await vectors.embed(texts)
    centres = np.stack(means)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    return {
        "maxSimilarity": lambda vector: owners[int((rows @ vector).argmax())],
        "centroid": lambda vector: of[int((centres @ vector).argmax())],
    }


def conditional_logit(
    seen: Sequence[tuple[Vectors, int]], start: Vectors, hold: float = 0.5
) -> Vectors:
    """Weights of the features (float[choices, p] a row) with which the softmax tells best which is
    chosen, by Newton's method, held a little to where they start.
    """
    found = start.astype(float)

    def surprise(weights: Vectors) -> float:
        told = ((x @ weights, chosen) for x, chosen in seen)
        total = sum(float(np.logaddexp.reduce(z) - z[chosen]) for z, chosen in told)
        return total + hold * float(((weights - start) ** 2).sum()) / 2

    for _ in range(25):
        gradient, curvature = hold * (found - start), hold * np.eye(len(start))
        for x, chosen in seen:
            z = x @ found
            p = np.exp(z - z.max())
            p /= p.sum()
            mean = p @ x
            gradient += mean - x[chosen]
            curvature += (x * p[:, None]).T @ x - np.outer(mean, mean)
        step, before = np.linalg.solve(curvature, gradient), surprise(found)
        shorter = (found - step / 2**halved for halved in range(12))
        found = next((tried for tried in shorter if surprise(tried) < before), found)
    return found


def _told(table: RoutingTable, vector: Any) -> Vectors:
    """What `Odds` weighs, of each capability and then of nobody."""
    like = likeness(table, table.near(vector))
    has = like.counts > 0
    columns = [
        like.nearest, like.three, like.described, np.where(has, 0, like.described), has,
        np.log(np.maximum(like.counts, 1)), np.zeros(len(has)),
    ]  # fmt: skip
    return np.r_[np.column_stack(columns), [[0, 0, 0, 0, 0, 0, 1]]].astype(float)


def _exchanges(
    drawn: random.Random, offered: list[Asked], strange: list[str], follow_ups: Sequence[str]
) -> Iterable[Exchange]:
    """Of each kind as many: another matter of the same agent; a matter of another, with and without
    a word that joins it; what is left of a sentence of the same agent; a follow-up; nobody's.
    """
    by_agent = grouped(offered)
    for before, active in drawn.sample(offered, 40):
        other = drawn.choice([name for name in by_agent if name != active])
        same, new = drawn.choice(by_agent[active]), drawn.choice(by_agent[other])
        yield before, active, same, active, "same"
        yield before, active, new, other, "switch"
        yield before, active, f"and {new}", other, "switchAnd"
        yield before, active, _left(drawn, same), active, "ellipsis"
        yield before, active, drawn.choice(follow_ups), active, "followUp"
        yield before, active, drawn.choice(strange), "", "nobody"


def _left(drawn: random.Random, text: str) -> str:
    """The end of a sentence, as one says who leaves the rest out."""
    end = " ".join(text.split()[-drawn.randint(2, 3) :])
    return drawn.choice(("and {}", "what about {}", "{}")).format(end)


def _shares(decision: Any, table: RoutingTable) -> list[float]:
    """The probability of each agent of the table, then of nobody."""
    known = {c.agent: c.probability for c in decision.candidates}
    return [*(known.get(name, 0.0) for name in table.names), decision.out_of_scope]


def _request(*said: str, active: str | None = None) -> RoutingRequest:
    return RoutingRequest(tuple(Message(role="user", content=text) for text in said), active)


def _rows(path: Path) -> list[dict[str, str]]:
    import csv

    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="zeroShot,fewShot,leaveOneOut,conversation")
    parser.add_argument("--rows", type=int, default=1500)
    arguments = parser.parse_args()
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    vectors = Known(KeptVectors(embedder(), KEPT))
    bench = Bench(Path(os.environ["LMOS_BENCH_DATA"]), vectors, arguments.rows)
    for name in arguments.only.split(","):
        print(json.dumps({name: await getattr(bench, name)()}, indent=2), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
