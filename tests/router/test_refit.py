"""Fitting the router to labelled messages and to feedback: what changes, and only when it is to."""

import json
from pathlib import Path
from typing import Any

import pytest
from chat_server import answering
from click.testing import CliRunner

from lmos.cli import lmos
from lmos.llm import embedder
from lmos.model import Candidate, Decision, Message, errors
from lmos.router import Fit, RoutingRequest, RoutingTable, open_router
from lmos.router.evidence import Choice, Reliance
from lmos.router.refit import Heard, reliance_of
from lmos.router.specs import OUT_OF_SCOPE, Labelled, read_labelled, with_examples

EXAMPLES = """instruction,agent
how much is my bill,bills
show me my invoice,bills
when must I pay my bill,bills
where is my parcel,parcels
when does my package arrive,parcels
track my delivery,parcels
"""
MESSAGES = {
    "bills": "what do I owe/the invoice of last month/my bill is too high/send me the bill/"
    "why is this invoice so high/can I pay my bill later",
    "parcels": "my package is lost/when is the delivery/track a shipment/parcel not here yet/"
    "has my parcel been sent/the delivery is late",
    OUT_OF_SCOPE: "who wrote Hamlet/tell me a joke/what is two plus two/sing me a song/"
    "how tall is Everest/what is love/play some music/book me a flight/who won the match/"
    "how old is the moon",
}
LABELLED = [(text, agent) for agent, texts in MESSAGES.items() for text in texts.split("/")]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options of a fit."""
    monkeypatch.chdir(tmp_path)
    Path("examples.csv").write_text(EXAMPLES)
    rows = "\n".join(f"{text},{agent}" for text, agent in LABELLED)
    Path("labelled.csv").write_text(f"instruction,agent\n{rows}\nhow much is my bill,bills\n")
    return ["router", "fit", "--examples", "examples.csv", "--labelled", "labelled.csv"]


def run(*arguments: str) -> str:
    done = CliRunner().invoke(lmos, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_nothing_changes_without_write(files: list[str]) -> None:
    told = json.loads(run(*files, "-o", "json"))
    assert (told["rows"], told["of"]) == (22, 23)  # one is an example
    assert set(told["before"]) == set(told["after"]) > {"accuracy", "ece", "brier"}
    assert told["changed"]
    assert not Path("router.json").exists()
    assert "nothing is written" in run(*files)


def test_what_is_written_is_read_and_told_by_decisions(files: list[str]) -> None:
    said = run(*files, "--write")
    assert "written to router.json" in said
    fit = Fit.read(Path("router.json"))
    assert fit != Fit()
    again = json.loads(run(*files, "-o", "json"))
    assert again["version"]
    route = ["route", "--examples", "examples.csv", "what do I owe", "-o", "json"]
    assert json.loads(run(*route))["fit"] == Fit().version
    assert json.loads(run(*route, "--fit", "router.json"))["fit"] == fit.version
    data = json.loads(Path("router.json").read_text())
    assert {"format", "learned", "bare", "threshold", "model"} <= data.keys()


def test_too_few_messages_are_refused(files: list[str]) -> None:
    Path("labelled.csv").write_text("instruction,agent\nwhat do I owe,bills\n")
    failed = CliRunner().invoke(lmos, files)
    assert isinstance(failed.exception, errors.InvalidInput)
    assert "1 of 1" in str(failed.exception)


def test_a_broken_file_is_refused(files: list[str]) -> None:
    Path("router.json").write_text('{"threshold": "high"}')
    failed = CliRunner().invoke(lmos, files)
    assert isinstance(failed.exception, errors.InvalidInput)
    assert "threshold" in str(failed.exception)


async def test_a_fitted_router_says_by_which_numbers(files: list[str]) -> None:
    agents = with_examples([], read_labelled(Path("examples.csv")))
    table = await RoutingTable.build(agents, embedder())
    fit = Fit().but(threshold=0.42)
    said = RoutingRequest((Message(role="user", content="what do I owe"),))
    for name in ("vector", "cascade"):
        router = open_router(name, embedder(), "direct", fit=fit)
        assert (await router.decide(said, table)).fit == fit.version


def record(text: str, at: str, decision: dict[str, Any], feedback: Any = None) -> dict[str, Any]:
    said = [{"role": "user", "content": text}] if text else []
    made = {"at": at, "conversationId": at, "decision": decision, "messages": said}
    return {**made, "feedback": feedback} if feedback else made


def test_feedback_of_the_decision_log_labels_messages(tmp_path: Path) -> None:
    to_bills = {"outcome": "route", "candidates": [{"agent": "bills", "probability": 0.9}]}
    lines = [
        record("praised", "2026-01-03", to_bills, {"rating": 1}),
        record("put right", "2026-01-01", to_bills, {"rating": -1, "agent": "parcels"}),
        record("for nobody", "2026-01-02", to_bills, {"agent": "out_of_scope"}),
        record("blamed alone", "2026-01-04", to_bills, {"rating": -1}),
        record("without feedback", "2026-01-05", to_bills),
        record("", "2026-01-06", to_bills, {"rating": 1}),
        record("asked back", "2026-01-07", {"outcome": "clarify"}, {"rating": 1}),
        record("rightly refused", "2026-01-08", {"outcome": "out_of_scope"}, {"rating": 1}),
    ]
    path = tmp_path / "decisions.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    assert [(row.text, row.agent) for row in read_labelled(path)] == [
        ("put right", "parcels"),
        ("for nobody", "out_of_scope"),
        ("praised", "bills"),
        ("rightly refused", "out_of_scope"),
    ]


def test_json_lines_have_either_names(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        '{"text": "a", "label": "bills"}\n\n{"instruction": "b", "agent": "parcels; bills"}\n'
    )
    assert read_labelled(path) == [Labelled("a", "bills"), Labelled("b", "bills;parcels")]
    path.write_text('{"text": "a"}')
    with pytest.raises(errors.InvalidInput, match="instruction,agent"):
        read_labelled(path)
    path.write_text("[1]")
    with pytest.raises(errors.InvalidInput, match="JSON object"):
        read_labelled(path)


def heard(confidence: float, chosen: str, label: str) -> Heard:
    """The vectors prefer a to b; the model chose one of them."""
    shares = (("a", confidence), ("b", 1 - confidence))
    candidates = tuple(Candidate(agent=name, probability=p) for name, p in shares)
    near = Decision(outcome="route", candidates=candidates, confidence=confidence)
    return Heard(near, Choice((chosen,), ""), label)


def test_a_good_model_is_relied_on_and_a_poor_one_is_not() -> None:
    good = [heard(0.5 + n % 10 / 25, "b", "b") for n in range(40)]
    found = reliance_of(good, Reliance())
    assert found.weight > 3
    assert found.below > 0.85
    poor = [heard(0.5 + n % 10 / 25, "b", "a") for n in range(40)]
    found = reliance_of(poor, Reliance())
    assert (found.weight, found.below) == (0.0, 0.5)
    assert not any(one.near.confidence < found.below for one in poor)


def test_little_that_was_heard_changes_nothing() -> None:
    assert reliance_of([heard(0.5, "b", "b")] * 5, Reliance()) == Reliance()


def test_how_far_to_rely_on_a_model_is_fitted_to_what_it_says(files: list[str]) -> None:
    said = {"reason": "so it is", "agent": "out_of_scope", "between": []}
    with answering(said) as server:
        model = f"openai:made-up@{server.url}/v1"
        told = json.loads(run(*files, "--model", model, "-o", "json"))
        asked = len(server.asked)
    assert told["model"]["asked"] == asked > 0
    assert told["model"]["model"] == "made-up"
    assert 0 <= told["model"]["rightWeighed"] <= asked
