"""What is learned of a table's texts: letters, a head, how sure it may be."""

from collections.abc import Sequence

import numpy as np
import pytest

from lmos.llm import embedder
from lmos.model import Capability, Decision, Message, RoutableAgent
from lmos.router import RoutingRequest, RoutingTable, VectorRouter, figures
from lmos.router.scoring import head
from lmos.router.scoring.learned import learn
from lmos.router.scoring.lexical import Lexicon

NUMBERS = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]


def agent(name: str, *offers: tuple[str, ...]) -> RoutableAgent:
    capabilities = tuple(
        Capability(name=f"{name} {i}", version="1.0.0", examples=examples)
        for i, examples in enumerate(offers)
    )
    return RoutableAgent(name=name, capabilities=capabilities)


async def decide(table: RoutingTable, text: str) -> Decision:
    request = RoutingRequest((Message(role="user", content=text),))
    return await VectorRouter(embedder()).decide(request, table)


def clusters(seed: int, per: int, spread: float = 1.0) -> "tuple[np.ndarray, np.ndarray]":
    """Vectors around twelve directions, and the number of the direction of each."""
    drawn = np.random.default_rng(seed)
    directions = np.random.default_rng(0).normal(size=(12, 24))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    numbers = np.repeat(np.arange(12), per)
    vectors = directions[numbers] + drawn.normal(size=(12 * per, 24)) * spread / np.sqrt(24)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), numbers


class Drawn:
    """Texts, and vectors that are drawn for them."""

    name, d = "drawn", 24

    def __init__(self) -> None:
        self.vectors: dict[str, np.ndarray] = {}

    def texts(self, seed: int, per: int) -> list[tuple[str, str]]:
        """Texts with letters that mean nothing, and the agents that their vectors are of."""
        vectors, numbers = clusters(seed, per, 1.7)
        words = [f"{seed}x{i:04}" for i in np.random.default_rng(seed).permutation(len(vectors))]
        self.vectors |= dict(zip(words, vectors, strict=True))
        return [(word, f"a{number:02}") for word, number in zip(words, numbers, strict=True)]

    async def embed(self, texts: Sequence[str]) -> np.ndarray:
        unknown = np.eye(1, self.d, dtype=np.float32)[0]
        return np.stack([self.vectors.get(text, unknown) for text in texts])


def test_a_misspelt_word_lies_near_the_right_one() -> None:
    lexicon = Lexicon(["show my invoice", "track the parcel", "cancel the contract"])
    near, far = lexicon.vector("my invoise"), lexicon.vector("the parcel")
    right = lexicon.vector("my invoice")
    assert near @ right > 0.5 > far @ right
    assert right @ right == pytest.approx(1)
    assert not lexicon.vector("?!").any()


def test_rare_words_weigh_more_than_frequent_ones() -> None:
    lexicon = Lexicon([*["the bill of the month"] * 20, "the Starlink bill"])
    asked = lexicon.vector("the starlink")
    assert asked @ lexicon.vector("starlink") > 2 * abs(asked @ lexicon.vector("the"))


async def test_a_name_that_one_agent_alone_uses_decides() -> None:
    """The vectors of meaning hardly tell the names of products apart."""
    nova = agent("nova", ("the Qorvex does not start", "my Qorvex is slow", "reset the Qorvex"))
    luma = agent("luma", ("the Zintra does not start", "my Zintra is slow", "reset the Zintra"))
    table = await RoutingTable.build([nova, luma], embedder())
    for text, meant in (("Qorvex gets hot", "nova"), ("update for the zintra", "luma")):
        first = (await decide(table, text)).candidates[0]
        assert (first.agent, first.probability > 0.5) == (meant, True), text


async def test_an_agent_with_few_examples_is_found_beside_one_with_many() -> None:
    verbs, months = ("show", "send", "explain", "pay"), ("May", "June", "July", "August")
    many = tuple(f"{v} my {n} of {m}" for v in verbs for n in ("bill", "invoice") for m in months)
    few = agent("parcels", ("where is my parcel", "my package is late"))
    table = await RoutingTable.build([agent("bills", many), few], embedder())
    assert table.learned.head
    for text in ("has my parcel been sent", "the package did not arrive"):
        assert (await decide(table, text)).candidates[0].agent == "parcels", text


def test_a_head_is_the_same_each_time_and_tells_the_classes() -> None:
    vectors, numbers = clusters(1, 10)
    one, other = (head.fitted(vectors, numbers, 12) for _ in range(2))
    assert np.array_equal(one.weights, other.weights)
    asked, meant = clusters(2, 20)
    assert (one.logits(asked).argmax(1) == meant).mean() > 0.9


def test_a_head_of_few_texts_is_the_one_of_many_dimensions() -> None:
    """Fewer texts than dimensions are fitted in another way, to the same head."""
    vectors, numbers = clusters(1, 2)
    wide = np.concatenate([vectors, np.zeros((24, 40), np.float32)], 1)
    few, whole = (
        head.fitted(wide, numbers, 12, steps=200),
        head.fitted(vectors, numbers, 12, steps=200),
    )
    asked, _ = clusters(2, 5)
    padded = np.concatenate([asked, np.zeros((60, 40), np.float32)], 1)
    assert np.abs(few.logits(padded) - whole.logits(asked)).max() < 0.05


@pytest.mark.parametrize("per", [8, 40])
async def test_the_first_candidate_is_as_sure_as_it_is_right(per: int) -> None:
    drawn = Drawn()
    known, asked = drawn.texts(1, per), drawn.texts(2, 60)
    agents = [
        agent(name, tuple(text for text, whose in known if whose == name))
        for name in sorted({whose for _, whose in known})
    ]
    table = await RoutingTable.build(agents, drawn)
    router, scored = VectorRouter(drawn), []
    for text, whose in asked:
        request = RoutingRequest((Message(role="user", content=text),))
        decision = await router.decide(request, table)
        first = decision.candidates[0]
        scored.append((first.probability / (1 - decision.out_of_scope), first.agent == whose))
    right = sum(hit for _, hit in scored) / len(scored)
    assert 0.5 < right < 0.95  # it is not easy
    assert (figures.calibration_error(scored) or 0) < 0.08


def test_nothing_is_learned_of_one_capability_or_too_many() -> None:
    vectors = np.eye(4, dtype=np.float32)
    numbers = np.zeros(4, np.int64)
    lexicon = Lexicon("abcd")
    letters = lexicon.vectors(list("abcd")).astype(np.float16)
    alone = learn(lexicon, letters, vectors, numbers, np.ones(4, bool))
    assert (alone.head, alone.normal) == (None, None)
    few = learn(lexicon, letters, vectors, np.arange(4), np.ones(4, bool))
    assert few.head
    assert few.normal is None


async def test_the_same_agents_are_not_learned_again() -> None:
    agents = [agent("bills", ("my bill", "what I owe")), agent("parcels", ("my parcel",))]
    first = await RoutingTable.build(agents, embedder())
    same = await RoutingTable.build(agents, embedder(), first)
    other = await RoutingTable.build([*agents, agent("shops", ("your shop",))], embedder(), same)
    assert same.learned is first.learned
    assert other.learned is not first.learned


async def test_which_of_two_is_asked_when_both_offer_it() -> None:
    ways = ("cancel my contract", "end the contract", "I want to leave you")
    both = [agent("home", ways), agent("mobile", ways), agent("parcels", ("where is my parcel",))]
    decision = await decide(await RoutingTable.build(both, embedder()), "please cancel my contract")
    assert decision.outcome == "clarify"
    assert {c.agent for c in decision.candidates[:2]} == {"home", "mobile"}
    assert decision.agent is None
    assert decision.confidence > 0.8
