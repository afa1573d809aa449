"""`Asking`: what a test learns of a turn, and that every turn is checked."""

from collections.abc import AsyncGenerator

import pytest
from bills import billing

from lmos import Agent
from lmos.arc import Team
from lmos.model import Answer, Done, Failed, Message, Started, Turn, TurnEvent, errors
from lmos.state import MemoryState
from lmos.testing import Asking, Call, Clock, GrammarError, ScriptedModel


async def test_an_answer_tells_use_case_and_calls() -> None:
    ask = Asking()
    answer = await ask(billing(), "how much do I owe?", user="u1", channel="web")
    assert answer.text == "Your latest bill is 42.50 EUR."
    assert (answer.use_case, answer.tools, answer.agent) == ("view_bill", ["get_bill"], "billing")
    assert answer.called("get_bill", month="latest")  # by default
    assert not answer.called("get_bill", month="previous")
    assert "39.90" not in answer.result_of("get_bill")
    assert repr(answer.called("pay")) == "<pay(): 0 calls; called: get_bill()>"
    with pytest.raises(KeyError, match="pay was not called"):
        answer.result_of("pay")


async def test_questions_to_an_agent_are_one_conversation() -> None:
    ask, agent = Asking(), billing()
    assert (await ask(agent, "close my account")).question
    assert (await ask(agent, "yes")).text == "It is closed."
    apart = await ask(agent, "yes", conversation="another")
    assert apart.text != "It is closed."


async def test_ids_are_the_same_in_every_run() -> None:
    seen: list[Turn] = []

    async def echo(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        seen.append(turn)
        yield Started(agent="echo")
        yield Answer(message=Message(role="assistant", content=turn.text))
        yield Done()

    ask = Asking("t")
    for text in ("a", "b"):
        assert (await ask(echo, text)).text == text
    assert [(t.conversation_id, t.turn_id) for t in seen] == [
        ("t/responder", "t/1"),
        ("t/responder", "t/2"),
    ]


async def test_an_agent_can_be_asked_with_another_model() -> None:
    ask, agent = Asking(), billing()
    scripted = ScriptedModel(Call("get_bill", {"month": "previous"}), "39.90 it was.")
    answer = await ask(agent, "and before?", model=scripted)
    assert answer.called("get_bill", month="previous")
    assert answer.usage.model == "scripted"
    assert (await ask(agent, "how much do I owe?")).usage.model == "direct"
    await ask.stop()


async def test_taking_a_use_case_is_no_call_of_a_tool() -> None:
    scripted = ScriptedModel(
        Call("use_case", {"id": "view_bill"}), Call("get_bill"), "42.50 it is."
    )
    answer = await Asking()(billing(), "how much?", model=scripted)
    assert (answer.use_case, answer.tools) == ("view_bill", ["get_bill"])
    assert not answer.called("use_case")


async def test_broken_grammar_and_failures_are_raised() -> None:
    async def silent(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        yield Started(agent="silent")
        yield Done()

    async def failing(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        yield Started(agent="failing")
        yield Failed.of(errors.Overloaded("too much"))

    with pytest.raises(GrammarError, match="'done' without a message"):
        await Asking()(silent, "hi")
    with pytest.raises(errors.Overloaded, match="too much"):
        await Asking()(failing, "hi")


async def test_a_clock_goes_on_when_it_is_told_to() -> None:
    clock = Clock()
    state = MemoryState(clock=clock)
    await state.put("k", "v", ttl=60)
    clock.advance(59)
    assert await state.get("k") == ("v", 1)
    clock.advance(2)
    assert await state.get("k") is None


async def test_a_team_is_asked_like_an_agent() -> None:
    ask = Asking()
    front = Agent(name="front", model=ScriptedModel("How can I help?"))
    team = Team("team", [front, billing()])
    assert (await ask(team, "hello")).text == "How can I help?"
    await ask.stop()
