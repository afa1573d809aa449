"""What agents see of what others share, and what they share themselves."""

from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lmos import Agent, Context
from lmos.arc import Chain, HandOver, Team
from lmos.llm import ScriptedModel
from lmos.model import (
    Message,
    Responder,
    Share,
    SharedValue,
    StatusUpdate,
    TextDelta,
    Turn,
    TurnEvent,
    errors,
)

NOW = datetime.now(UTC)


def turn(*values: SharedValue, keeps: bool = True) -> Turn:
    return Turn(
        conversation_id="c",
        turn_id="t",
        messages=(Message(role="user", content="hello"),),
        shared=values if keeps else None,
    )


async def events(responder: Responder, of: Turn) -> list[TurnEvent]:
    async with aclosing(responder(of)) as found:
        return [event async for event in found]


def agent(name: str = "a", *answers: str) -> Agent:
    return Agent(name=name, description=name, model=ScriptedModel(*(answers or ("ok",))).model)


def sharing(name: str, key: str = "n", value: Any = 1) -> Agent:
    one = agent(name)

    @one.input_filter
    async def share(ctx: Context, text: str) -> None:
        await ctx.share(key, value)

    return one


def telling(name: str) -> Agent:
    """An agent that tells what it sees."""
    one = agent(name)

    @one.output_filter
    def tell(ctx: Context, text: str) -> str:
        return str(dict(ctx.shared))

    return one


async def test_the_newest_value_of_a_name_counts_and_all_are_there() -> None:
    seen: list[Any] = []
    one = agent()

    @one.input_filter
    def look(ctx: Context, text: str) -> None:
        seen.append((dict(ctx.shared), ctx.shared.entry("n").agent, len(ctx.shared.entries)))

    old = SharedValue(name="n", value=1, agent="x", at=NOW)
    new = SharedValue(name="n", value=2, agent="y", at=NOW + timedelta(seconds=1))
    await events(one.respond, turn(new, old))
    assert seen == [({"n": 2}, "y", 2)]


async def test_what_is_told_comes_before_what_follows_it() -> None:
    one = agent()

    @one.input_filter
    async def share(ctx: Context, text: str) -> None:
        ctx.emit("looking")
        assert await ctx.share("n", {"x": 1}, readers=["b"], scope="user", ttl=60)

    found = await events(one.respond, turn())
    kinds = [event.type for event in found if not isinstance(event, TextDelta)]
    assert kinds == ["started", "status", "share", "message", "done"]
    assert isinstance(found[1], StatusUpdate)
    assert found[2] == Share(name="n", value={"x": 1}, readers=("b",), scope="user", ttl=60)


async def test_a_caller_that_keeps_nothing_gets_nothing() -> None:
    kept: list[Any] = []
    one = agent()

    @one.input_filter
    async def share(ctx: Context, text: str) -> None:
        kept.append((await ctx.share("n", 1), ctx.shared["n"]))

    found = await events(one.respond, turn(keeps=False))
    assert kept == [(False, 1)]
    assert not [event for event in found if isinstance(event, Share)]


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"value": object()}, errors.InvalidInput),
        ({"value": "x" * 16_384}, errors.TooLarge),
        ({"name": " "}, errors.InvalidInput),
        ({"name": "x" * 101}, errors.TooLarge),
        ({"scope": "everybody"}, errors.InvalidInput),
        ({"ttl": -1}, errors.InvalidInput),
        ({"readers": [str(n) for n in range(21)]}, errors.TooLarge),
    ],
)
async def test_what_cannot_be_shared_is_told_at_once(given: Any, error: type[Exception]) -> None:
    one = agent()
    raised: list[Exception] = []

    @one.input_filter
    async def share(ctx: Context, text: str) -> None:
        try:
            await ctx.share(**{"name": "n", "value": 1, **given})
        except errors.LmosError as found:
            raised.append(found)

    await events(one.respond, turn())
    assert [type(found) for found in raised] == [error]


async def test_what_is_shared_cannot_be_changed_from_outside() -> None:
    value = {"x": [1]}
    one = sharing("a", value=value)
    found = await events(one.respond, turn())
    value["x"].append(2)
    assert [event.value for event in found if isinstance(event, Share)] == [{"x": [1]}]


async def test_who_is_handed_over_to_sees_it() -> None:
    first, second = agent("first"), telling("second")

    @first.input_filter
    async def share(ctx: Context, text: str) -> None:
        await ctx.share("n", 1)
        raise HandOver("second")

    found = await events(Team("team", [first, second]).responder, turn())
    assert "{'n': 1}" in str(found)
    assert [event.name for event in found if isinstance(event, Share)] == ["n"]


async def test_the_next_in_a_chain_sees_it() -> None:
    chain = Chain("chain", [sharing("first"), telling("second")])
    found = await events(chain.responder, turn())
    assert "{'n': 1}" in str(found)
    assert [event.name for event in found if isinstance(event, Share)] == ["n"]


async def test_what_an_agent_that_was_called_shares_is_passed_on() -> None:
    inner, outer = sharing("inner"), agent("outer")

    @outer.input_filter
    async def call(ctx: Context, text: str) -> None:
        await ctx.call_agent(inner, "hello")

    found = await events(outer.respond, turn())
    assert [event.name for event in found if isinstance(event, Share)] == ["n"]
