"""An agent's memory end to end: over the states, between its turns, and after a restart."""

from typing import Any

import pytest
from memory_parts import turn

import states
from lmos import Agent, Context
from lmos.arc import MemorySettings
from lmos.llm import ScriptedModel
from lmos.model import Message, errors
from lmos.state import Forgotten, History, forget_user, open_state

every = states.over(states.ALL)


def counting(memory: Any, name: str = "billing", replies: int = 20) -> tuple[Agent, ScriptedModel]:
    scripted = ScriptedModel(*["noted"] * replies)
    agent = Agent(name=name, model=scripted.model, memory=memory)

    @agent.input_filter
    async def count(ctx: Context, text: str) -> None:
        ctx.output["visits"] = str(
            await ctx.memory.update("visits", lambda n: n + 1, 0, scope="user")
        )

    return agent, scripted


@states.over(states.SHARED)
async def test_a_conversation_goes_on_when_the_agent_is_started_again(place: states.Place) -> None:
    for n in (1, 2):
        agent, scripted = counting(place.spec)
        result = await agent.run("hello", conversation="c", user="ann", tenant="acme")
        assert result.context["visits"] == str(n)
        said = [part for message in scripted.requests[0] for part in message.parts]
        assert [part.content for part in said if part.part_kind != "system-prompt"] == [
            "hello",
            "noted",
            "hello",
        ][-2 * n + 1 :]
        await agent.stop()


@every
async def test_agents_share_a_state_and_nothing_in_it(place: states.Place) -> None:
    (billing, _), (orders, heard) = counting(place.state), counting(place.state, "orders")
    who = {"conversation": "c", "user": "ann", "tenant": "acme"}
    await billing.run("my secret", **who)
    assert (await orders.run("hello", **who)).context["visits"] == "1"
    assert "secret" not in str(heard.requests[0].messages)
    await billing.stop()
    assert (await orders.run("hello", **who)).context["visits"] == "2", "the state is still open"
    await orders.stop()
    assert await forget_user(place.state, "acme", "ann") == Forgotten(1, 2, 2)


async def test_settings_say_how_much_of_a_conversation_is_kept() -> None:
    async def summarise(messages: Any) -> str:
        return f"{len(messages)} messages"

    settings = MemorySettings(limit=4, summarise=summarise)
    agent, scripted = counting(settings)
    for n in range(4):
        await agent.run(f"q{n}", conversation="c", user="ann")
        await agent.engine.history.settled()
    sent = [part.content for message in scripted.requests[3] for part in message.parts]
    assert "(What was said before, in short: 4 messages)" in sent
    assert sent[-3:] == ["q2", "noted", "q3"]
    await agent.stop()


async def test_a_memory_that_cannot_be_reached_fails_the_turn_with_its_address() -> None:
    agent, _ = counting("redis://127.0.0.1:1/0")
    agent.engine.state._patience = 0.1  # type: ignore[attr-defined]
    with pytest.raises(errors.StateUnavailable, match=r"127\.0\.0\.1:1"):
        await agent.run("hello", user="ann")
    await agent.stop()


@states.over(("redis",))
async def test_the_platform_s_history_and_an_agent_s_do_not_mix(place: states.Place) -> None:
    agent, _ = counting(place.spec)
    platform = History(open_state(place.spec))
    asked = turn("hello", user="ann")
    await agent.run(asked)
    await platform.remember(asked, [Message(role="assistant", content="noted")])
    for history in (platform, agent.engine.history):
        past = await history.past(asked)
        assert [m["content"] for m in past.messages] == ["hello", "noted"]
    await platform._state.close()
    await agent.stop()
