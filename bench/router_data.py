"""The public data sets that the router is measured on, and channels drawn from them."""

import csv
import json
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmos.model import Capability, Embedder, RoutableAgent

#: Vectors of the data sets, embedded once.
KEPT = Path(__file__).parents[1] / ".cache" / "bench" / "vectors.sqlite"
#: How many examples agents have that stand side by side.
COUNTS = (0, 1, 2, 3, 5, 10, 30, 100)

Texts = Mapping[str, Sequence[str]]
Asked = tuple[str, str]  # a message and the agent it is for, empty for none


class Known:
    """An embedder that embeds each text once."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[str, NDArray[np.float32]] = {}
        self.name, self.d = embedder.name, embedder.d

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        for i in range(0, len(new), 256):
            part = new[i : i + 256]
            self._known.update(zip(part, await self._embedder.embed(part), strict=True))
        if not texts:
            return np.zeros((0, self.d), np.float32)
        return np.stack([self._known[text] for text in texts])


class Data:
    """The files below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, *parts: str) -> Path:
        return self.folder.joinpath(*parts)

    def clinc(self) -> tuple[dict[str, list[Any]], dict[str, list[str]]]:
        """The sets train, val, oos_train and oos_val as pairs, and the intents of each domain."""
        return (
            json.loads(self.file("clinc150", "clinc150-train-val.json").read_text()),
            json.loads(self.file("clinc150", "domains.json").read_text()),
        )

    def banking(self) -> list[Asked]:
        """Messages with their intents."""
        with self.file("banking77", "train.csv").open(encoding="utf-8", newline="") as file:
            return [(row["text"].strip(), row["category"]) for row in csv.DictReader(file)]


def strange(sets: Mapping[str, Sequence[Asked]]) -> list[Asked]:
    """The messages of CLINC150 that are for nobody."""
    return [(text, "") for part in ("oos_train", "oos_val") for text, _ in sets[part]]


def agent(name: str, examples: Texts) -> RoutableAgent:
    offers = tuple(
        Capability(name=intent, version="1.0.0", examples=tuple(texts))
        for intent, texts in examples.items()
    )
    return RoutableAgent(name=name, capabilities=offers)


def agents_of(pairs: Iterable[Sequence[str]]) -> list[RoutableAgent]:
    """An agent for each label."""
    return [agent(label, {label: texts}) for label, texts in sorted(grouped(pairs).items())]


def grouped(pairs: Iterable[Sequence[str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for text, label in pairs:
        found[label].append(text)
    return found


def drawn_of(pairs: Iterable[Sequence[str]], count: int, seed: int) -> list[Asked]:
    """So many of each label."""
    drawn = random.Random(seed)
    by = sorted(grouped(pairs).items())
    return [(t, label) for label, texts in by for t in drawn.sample(texts, min(count, len(texts)))]


def with_counts(
    counts: Mapping[str, int], texts: Texts, drawn: random.Random
) -> list[RoutableAgent]:
    """An agent for each intent, with so many examples."""
    return [
        agent(intent, {intent: drawn.sample(list(texts[intent]), min(n, len(texts[intent])))})
        for intent, n in counts.items()
    ]


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
