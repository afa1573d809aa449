"""Routing over the example's agents and over made ones, with the real embedder."""

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from lmos.cli.agents import routable_agents
from lmos.cli.eval import command as eval_command
from lmos.cli.route import command as route_command
from lmos.llm import embedder
from lmos.model import Capability, Decision, Message, RoutableAgent, errors
from lmos.router import RoutingRequest, RoutingTable, VectorRouter, evaluate
from lmos.router.followup import form_of
from lmos.router.specs import read_agents, read_labelled, with_examples

ACME = Path(__file__).parents[2] / "examples" / "acme"


@pytest.fixture(scope="module")
def acme() -> list[RoutableAgent]:
    return routable_agents(ACME, None)


async def decide(agents: list[RoutableAgent], *said: str, **more: Any) -> Decision:
    table = await RoutingTable.build(agents, embedder())
    messages = tuple(Message(role="user", content=text) for text in said)
    return await VectorRouter(embedder()).decide(RoutingRequest(messages, **more), table)


async def test_at_least_95_of_100_messages_reach_their_agent(acme: list[RoutableAgent]) -> None:
    rows = read_labelled(ACME / "utterances.csv")
    assert len(rows) == 120
    table = await RoutingTable.build(acme, embedder())
    report = await evaluate(VectorRouter(embedder()), table, rows)
    assert report.accuracy >= 0.95, report.wrong


def test_no_test_message_is_an_example(acme: list[RoutableAgent]) -> None:
    def words(text: str) -> frozenset[str]:
        return frozenset("".join(c if c.isalnum() else " " for c in text.lower()).split())

    examples = [words(e) for a in acme for c in a.capabilities for e in c.examples]
    near = [
        row.text
        for row in read_labelled(ACME / "utterances.csv")
        for example in examples
        if not row.conversation
        and len(words(row.text) & example) / len(words(row.text) | example) > 0.8
    ]
    assert near == []


async def test_a_decision_explains_itself(acme: list[RoutableAgent]) -> None:
    decision = await decide(acme, "how much do I owe you?")
    assert (decision.outcome, decision.agent, decision.capability) == (
        "route", "billing-agent", "view_bill",
    )  # fmt: skip
    evidence = decision.candidates[0].evidence
    assert evidence
    assert (evidence.text, evidence.score > 0.8) == ("how much do I owe", True)
    shares = [c.probability for c in decision.candidates]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 1.01
    assert {"embed", "decide"} <= decision.timings.keys()
    assert decision.table


async def test_follow_ups_stay_and_changes_of_subject_leave(acme: list[RoutableAgent]) -> None:
    first = "how much do I owe you?"
    for text in ("and the month before?", "why?", "thanks", "yes", "12345"):
        decision = await decide(acme, first, text, active_agent="billing-agent")
        assert (decision.agent, decision.sticky) == ("billing-agent", True), text
    for text in ("where is my parcel?", "and where is your shop in Berlin?"):
        assert (await decide(acme, first, text, active_agent="billing-agent")).agent != (
            "billing-agent"
        )
    out = await decide(acme, first, "who wrote Hamlet?", active_agent="billing-agent")
    assert out.outcome == "out_of_scope"


async def test_a_caller_that_brings_its_history_needs_no_active_agent(
    acme: list[RoutableAgent],
) -> None:
    decision = await decide(acme, "how much do I owe you?", "and the month before?")
    assert (decision.agent, decision.sticky) == ("billing-agent", True)


async def test_an_explicit_agent_is_honoured_and_an_unknown_one_refused(
    acme: list[RoutableAgent],
) -> None:
    decision = await decide(acme, "where is my parcel?", explicit_agent="store-agent")
    assert (decision.agent, decision.confidence) == ("store-agent", 1.0)
    with pytest.raises(errors.AgentNotFound, match="it has billing-agent"):
        await decide(acme, "hi", explicit_agent="nobody")


async def test_no_agents_and_bare_agents() -> None:
    assert (await decide([], "hello you")).outcome == "out_of_scope"
    bare = [
        RoutableAgent(name="weather-agent", description="Tells the weather forecast."),
        RoutableAgent(name="news-agent", description="Tells the news of the day."),
    ]
    assert (await decide(bare, "what is the weather forecast")).agent == "weather-agent"


async def test_only_new_texts_are_embedded_again(acme: list[RoutableAgent]) -> None:
    class Counting:
        name, d = "counting", 384
        texts = 0

        async def embed(self, texts: Any) -> Any:
            self.texts += len(texts)
            return await embedder().embed(texts)

    counting = Counting()
    first = await RoutingTable.build(acme, counting)
    before = counting.texts
    offer = Capability(name="new", version="1.0.0", description="something quite new")
    second = await RoutingTable.build(
        [*acme, RoutableAgent(name="n", capabilities=(offer,))], counting, first
    )
    assert counting.texts - before == 4
    assert second.version != first.version


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("hello there", "social"),
        ("thank you very much", "social"),
        ("and the month before?", "elliptic"),
        ("4711", "elliptic"),
        ("in Munich", "elliptic"),
        ("I did that already", "referring"),
        ("show my bill", "whole"),
        ("where is the nearest shop of yours in town", "whole"),
    ],
)
def test_forms(text: str, form: str) -> None:
    assert form_of(text) == form


def test_the_originals_routing_specs_and_examples_are_read(tmp_path: Path) -> None:
    specs = tmp_path / "agentRoutingSpecs.json"
    specs.write_text(
        '[{"name": "bill-agent", "description": "Bills", "version": "1.0.0", "addresses": [],'
        ' "capabilities": [{"name": "view", "description": "see a bill", "version": "1.0.0"}]}]'
    )
    rows = tmp_path / "train.csv"
    rows.write_text("instruction,agent,intent\nshow it,bill-agent,view\nother,new-agent,x\n")
    (agent,) = with_examples(read_agents(specs), read_labelled(rows))
    assert agent.capabilities[0].examples == ("show it",)
    alone = with_examples([], read_labelled(rows))
    assert [a.name for a in alone] == ["bill-agent", "new-agent"]


def test_the_commands() -> None:
    routed = CliRunner().invoke(
        route_command, ["--agents", str(ACME), "how much do I owe you?", "-o", "json"]
    )
    assert '"billing-agent"' in routed.stdout
    table = CliRunner().invoke(
        eval_command,
        ["router", "--agents", str(ACME), "--test", str(ACME / "utterances.csv")],
    )
    assert table.stdout.startswith("accuracy 9")


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (route_command, ["--agents", str(ACME), "hello"]),
        (eval_command, ["router", "--agents", str(ACME), "--test", str(ACME / "utterances.csv")]),
    ],
)
def test_the_commands_embed_with_the_model_of_the_platform(
    command: click.Command, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMOS_EMBEDDER", "onnx:/nowhere/model")
    result = CliRunner().invoke(command, arguments)
    assert "/nowhere/model" in str(result.exception)


@pytest.mark.parametrize("text", ["", "[]", "kind: Agent", "a,b\n1,2\n"])
def test_files_without_agents_or_rows_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad"
    file.write_text(text)
    with pytest.raises(errors.InvalidInput, match="bad"):
        read_agents(file)
    with pytest.raises(errors.InvalidInput, match="instruction,agent"):
        read_labelled(file)
