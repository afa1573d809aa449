"""The fitted numbers of the vector router: fitting, keeping, reading."""

from pathlib import Path

import pytest

from lmos.llm import embedder
from lmos.model import Capability, RoutableAgent, errors
from lmos.router import RoutingTable, VectorRouter, evaluate
from lmos.router.fit import Fit, Scope, fit_of
from lmos.router.specs import Labelled


def agent(name: str, *examples: str) -> RoutableAgent:
    offer = Capability(name=name, version="1.0.0", examples=examples)
    return RoutableAgent(name=name, capabilities=(offer,))


AGENTS = [
    agent("bills", "show me my bill", "how much do I owe", "what is my invoice"),
    agent("parcels", "where is my parcel", "when does my package arrive", "track my order"),
]
BILLS = ["my last bill please", "what do I have to pay", "the invoice is wrong", "explain my bill",
         "is the invoice paid", "I owe you how much", "send me the bill"]  # fmt: skip
PARCELS = ["is my parcel there", "the package is late", "where is the order", "track the package",
           "when will the parcel come", "my order is missing"]  # fmt: skip
STRANGE = ["who wrote Hamlet", "tell me a joke", "what is the weather", "how do I cook rice",
           "translate this to French", "who won the match", "sing a song", "what is a black hole",
           "recommend a film", "how tall is the tower", "set an alarm", "flip a coin"]  # fmt: skip
ROWS = [
    *(Labelled(text, "bills") for text in BILLS),
    *(Labelled(text, "parcels") for text in PARCELS),
    *(Labelled(text, "out_of_scope") for text in STRANGE),
]


async def accuracy(fit: Fit) -> float:
    table = await RoutingTable.build(AGENTS, embedder())
    return (await evaluate(VectorRouter(embedder(), fit), table, ROWS)).accuracy


async def test_fitting_makes_up_for_numbers_that_are_wrong() -> None:
    never = Scope(near=8.0, bias=-7.0)
    start = Fit(bare=never, learned=never)
    found = await fit_of(AGENTS, ROWS, embedder(), start)
    assert await accuracy(start) < 0.6
    assert await accuracy(found) > 0.9
    assert found.version != start.version
    assert found == await fit_of(AGENTS, ROWS, embedder(), start)


async def test_rows_that_tell_nothing_are_left_out() -> None:
    told = [
        *(Labelled(text, "bills") for text in AGENTS[0].capabilities[0].examples * 5),
        *(Labelled(text, "nobody-here") for text in PARCELS),
        *(Labelled(text, "bills", "talk") for text in BILLS),
    ]
    with pytest.raises(errors.InvalidInput, match=r"1 of 28 .* it takes 10"):
        await fit_of(AGENTS, told, embedder())


async def test_only_messages_for_somebody_leave_alone_who_is_meant() -> None:
    found = await fit_of(AGENTS, [row for row in ROWS if row.agent != "out_of_scope"], embedder())
    assert (found.learned, found.bare, found.threshold) == (
        Fit().learned, Fit().bare, Fit().threshold,
    )  # fmt: skip


def test_a_fit_is_written_and_read_as_it_was(tmp_path: Path) -> None:
    fit = Fit(threshold=0.4, sharpness=1.25)
    file = tmp_path / "fit.json"
    fit.write(file)
    assert Fit.read(file) == fit
    assert Fit.read(file).version == fit.version != Fit().version
    assert len(file.read_text().splitlines()) > 10  # one number a line, for a diff


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "the file"),
        ('{"threshold": "high"}', "threshold"),
        ('{"format": 2}', "format"),
        ('{"learned": {"near": 1}}', "learned.bias"),
        ('{"treshold": 0.4}', "treshold"),
    ],
)
def test_what_is_no_fit_is_told(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "fit.json"
    file.write_text(text)
    with pytest.raises(errors.InvalidInput, match=f"fit.json is no fit of the router: {told}"):
        Fit.read(file)


def test_a_fit_that_cannot_be_read_or_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidInput, match="cannot be read"):
        Fit.read(tmp_path / "none.json")
    with pytest.raises(errors.InvalidInput, match="cannot be written"):
        Fit().write(tmp_path / "none" / "fit.json")
