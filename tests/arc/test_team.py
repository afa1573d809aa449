"""Agents together: handovers, chains, calls, remote ones."""

from contextlib import aclosing
from typing import Any

import pytest
from pydantic import BaseModel

from lmos import Agent, Context
from lmos.arc import Chain, HandOver, Remote, Team
from lmos.arc.result import Result, collected
from lmos.llm import Call, ScriptedModel
from lmos.model import Message, Responder, StatusUpdate, ToolResult, Turn, errors
from lmos.model.grammar import checked


def agent(name: str, *replies: Any, to: str = "", **more: Any) -> Agent:
    """An agent that says its replies, or hands over."""
    made = Agent(name=name, model=ScriptedModel(*replies).model, **more)
    if to:

        @made.input_filter
        def away(ctx: Context, text: str) -> str:
            raise HandOver(to)

    return made


async def ask(responder: Responder, *texts: str, **more: Any) -> Result[str]:
    messages = tuple(Message(role="user", content=text) for text in texts)
    turn = Turn(**{"conversation_id": "c", "turn_id": "t", "messages": messages, **more})
    async with aclosing(checked(responder)(turn)) as events:
        return collected([event async for event in events])


async def test_a_team_hands_over_stays_and_can_be_told_whom_to_ask() -> None:
    team = Team("team", [agent("front", to="billing"), agent("billing", "42 EUR.")])
    first = await ask(team.respond, "my bill")
    assert first.text == "42 EUR."
    assert "handed over to billing" in [e.text for e in first.events if isinstance(e, StatusUpdate)]
    again = await ask(team.respond, "and before?")
    assert not [e for e in again.events if isinstance(e, StatusUpdate)]
    with pytest.raises(errors.AgentNotFound, match="no agent 'nobody'; it has front, billing"):
        await ask(team.respond, "hi", agent="nobody")


async def test_a_stranger_is_for_whoever_asked_and_circles_are_refused() -> None:
    team = Team("team", [agent("front", to="stranger")])
    assert (await ask(team.respond, "hi")).handover == "stranger"
    circle = Team("team", [agent("a", to="b"), agent("b", to="a")])
    with pytest.raises(errors.AgentFailed, match="in circles: a -> b -> a"):
        await ask(circle.respond, "hi")
    long = Team("team", [agent(f"a{i}", to=f"a{i + 1}") for i in range(9)], limit=3)
    with pytest.raises(errors.AgentFailed, match="in circles: a0 -> a1 -> a2 -> a3 -> a4"):
        await ask(long.respond, "hi")


async def test_an_agent_hands_over_to_its_own_agents() -> None:
    front = agent("front", to="billing", agents=[agent("billing", "42 EUR.")])
    result = await front.run("my bill")
    assert result.text == "42 EUR."


async def test_a_chain_reads_what_was_said_before_and_fails_over_once() -> None:
    script = ScriptedModel("in English: my bill")
    first = Agent(name="translate", model=script.model)
    second = ScriptedModel("42 EUR.")
    chain = Chain("both", [first, Agent(name="billing", model=second.model)])
    result = await ask(chain.respond, "meine Rechnung")
    assert result.text == "42 EUR."
    assert result.usage.requests == 2
    assert "in English: my bill" in str(second.requests[0])

    broken = Agent(name="broken", model="direct")
    broken.input_filter(lambda ctx, text: _fail())
    for order in ([broken, first], [first, broken]):
        chain = Chain("both", order, on_failure=agent("human", "A colleague will call."))
        assert (await ask(chain.respond, "hi")).text == "A colleague will call."
        with pytest.raises(errors.AgentFailed, match="broken in the chain both"):
            await ask(Chain("both", order).respond, "hi")
        chain = Chain("both", order, on_failure=broken)
        with pytest.raises(errors.AgentFailed, match="out of order"):
            await ask(chain.respond, "hi")


def _fail() -> str:
    raise errors.AgentFailed("out of order")


async def test_agents_call_each_other_but_not_in_circles() -> None:
    caller = agent("caller", Call("look"), "done", agents=[agent("other", "from the other")])

    @caller.tool
    async def look(ctx: Context) -> str:
        """Looks."""
        return await ctx.call_agent("other", "hello")

    result = await caller.run("hi")
    assert [e.result for e in result.events if isinstance(e, ToolResult)] == ["from the other"]
    assert result.usage.requests == 3

    me = agent("me", Call("loop"), "done")

    @me.tool
    async def loop(ctx: Context) -> str:
        """Calls itself."""
        return await ctx.call_agent(me, "hello")

    failed = [e.error for e in (await me.run("hi")).events if isinstance(e, ToolResult)]
    assert "in circles: me -> me" in str(failed)
    result = await agent("lonely", Call("x"), "y").run("hi")
    assert "there is no tool 'x'" in str(result.events)


class Sum(BaseModel):
    a: int
    b: int


async def test_a_typed_agent_is_a_tool_of_another() -> None:
    adder = Agent(
        name="adder",
        description="Adds two numbers.",
        model=ScriptedModel(Call("final_answer", {"value": 5})).model,
        input=Sum,
        output=int,
    )
    script = ScriptedModel(Call("adder", {"request": {"a": 2, "b": 3}}), "It is 5.")
    main = Agent(name="main", model=script.model, tools=[adder])
    result = await main.run("2+3?")
    assert result.text == "It is 5."
    assert [e.result for e in result.events if isinstance(e, ToolResult)] == ["5"]
    assert main.tools["adder"].description == "Adds two numbers."
    assert "Sum" in str(main.tools["adder"].schema)


async def test_teams_and_chains_are_asked_like_agents() -> None:
    front, billing = agent("front", to="billing"), agent("billing", "42 EUR.", "39 EUR.")
    team = Team("team", [front, billing])
    assert (await team.run("my bill", conversation="c", user="ann")).text == "42 EUR."
    assert (await team.run("and before?", conversation="c")).text == "39 EUR."
    async with aclosing(Chain("c", [billing]).stream("my bill")) as events:
        assert "39 EUR." in collected([event async for event in events]).text
    await team.stop()


async def test_what_fails_far_away_is_raised() -> None:
    nobody = Remote("http://127.0.0.1:9", name="nobody")
    front = agent("front", to="nobody", agents=[nobody])
    for asked in (nobody, front, Team("t", [nobody]), Chain("c", [nobody])):
        with pytest.raises(errors.LmosError, match=r"127.0.0.1:9 cannot be reached"):
            await asked.run("hi")
    await nobody.stop()


def test_run_sync_stops_everybody_who_took_part() -> None:
    ended: list[str] = []

    class Open:
        def __init__(self, name: str) -> None:
            self.name = name

        async def __aenter__(self) -> None:
            pass

        async def __aexit__(self, *error: object) -> None:
            ended.append(self.name)

    def opened(name: str, *replies: str, **more: Any) -> Agent:
        return agent(name, *replies, deps=[Open(name)], **more)

    assert Team("t", [opened("one", "Hello.")]).run_sync("hi").text == "Hello."
    assert Chain("c", [opened("two", "Hello."), opened("three", "Bye.")]).run_sync("hi").text
    assert opened("four", to="five", agents=[opened("five", "Hello.")]).run_sync("hi").text
    assert ended == ["one", "two", "three", "four", "five"]


async def test_an_agent_runs_within_a_block() -> None:
    started: list[str] = []
    greeter = agent("greeter", "Hello.")
    greeter.on_start(lambda agent: started.append(agent.name))
    async with greeter as running:
        assert started == ["greeter"]
        assert (await running.run("hi")).text == "Hello."


async def test_who_takes_over_reads_what_the_first_agents_filters_made_of_it() -> None:
    front = agent("front")

    @front.input_filter
    def hide(ctx: Context, text: str) -> str:
        return text.replace("DE89", "[IBAN]")

    @front.input_filter
    def away(ctx: Context, text: str) -> str:
        raise HandOver("billing")

    script = ScriptedModel("done")
    billing = Agent(name="billing", model=script.model)
    result = await ask(Team("team", [front, billing]).respond, "my DE89")
    assert result.text == "done"
    assert "my [IBAN]" in str(script.requests[0])
    assert "DE89" not in str(script.requests[0])


async def test_a_filter_changes_the_users_words_and_nobody_elses() -> None:
    script = ScriptedModel("done")
    second = Agent(name="second", model=script.model)
    second.input_filter(lambda ctx, text: text.replace("please", "now"))
    await ask(Chain("both", [agent("first", "The first answer."), second]).respond, "help please")
    sent = str(script.requests[0])
    assert "help now" in sent
    assert "The first answer." in sent


def test_a_team_serves_whom_its_agents_serve() -> None:
    some, others = agent("a", tenants=["acme"]), agent("b", tenants=["globex", "acme"])
    assert Team("t", [some, others]).describe().supported_tenants == ("acme", "globex")
    assert Team("t", [some, agent("c")]).describe().supported_tenants == ()
