"""Functions as tools: what a model is told of them, what they get and what they give."""

import enum
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from lmos import Agent, Context
from lmos.arc import Words
from lmos.arc.docstrings import docstring_of
from lmos.llm import Call, ScriptedModel
from lmos.model import Message, ToolResult, Turn, errors


async def result_of(function: Callable[..., Any], **arguments: Any) -> ToolResult:
    """What the model is told when it calls the function."""
    script = ScriptedModel(Call(function.__name__, arguments), "done")
    agent = Agent(name="a", model=script.model, tools=[function])
    turn = Turn(conversation_id="c", turn_id="t", messages=(Message(role="user", content="go"),))
    events = [event async for event in agent.respond(turn)]
    return next(event for event in events if isinstance(event, ToolResult))


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Car:
    colour: Colour
    price: Decimal
    built: date


class Unwritable:
    pass


async def test_arguments_become_what_the_types_say() -> None:
    got: list[Any] = []

    def buy(ctx: Context, colour: Colour, day: date, price: Decimal = Decimal(3)) -> str:
        got.extend([ctx.text, colour, day, price])
        return "bought"

    found = await result_of(buy, colour="red", day="2026-12-01")
    assert (found.result, found.error) == ("bought", None)
    assert got == ["go", Colour.RED, date(2026, 12, 1), Decimal(3)]


async def test_parameters_may_be_called_anything() -> None:
    def look(schema: str, copy: int = 1, model_config: str = "", _hidden: str = "") -> str:
        """Looks."""
        return f"{schema} {copy}"

    assert (await result_of(look, schema="s", copy=2)).result == "s 2"
    assert (await result_of(look, schema="s", kopy=2)).error == (
        "look: kopy: Extra inputs are not permitted"
    )


async def test_results_are_told_as_text_or_json() -> None:
    def car() -> Car:
        return Car(Colour.RED, Decimal("1.50"), date(2026, 1, 2))

    def picture() -> bytes:
        return b"\xff"

    def later() -> Any:
        async def work() -> list[int]:
            return [1, 2]

        return work()

    assert (await result_of(car)).result == '{"colour":"red","price":"1.50","built":"2026-01-02"}'
    assert (await result_of(picture)).result == '"_w=="'
    assert (await result_of(later)).result == "[1,2]"


async def test_no_failure_of_a_tool_ends_the_turn() -> None:
    def strange() -> Unwritable:
        return Unwritable()

    def broken() -> str:
        raise ZeroDivisionError("by zero")

    async def waits_for_others() -> str:
        raise TimeoutError("the shop did not answer")

    assert (await result_of(strange)).error == "the result (Unwritable) cannot be written as JSON"
    assert (await result_of(broken)).error == "ZeroDivisionError: by zero"
    error = (await result_of(waits_for_others)).error
    assert error == "TimeoutError: the shop did not answer"


async def test_a_tool_that_takes_too_long_is_ended() -> None:
    import asyncio

    script = ScriptedModel(Call("sleep"), "done")
    agent = Agent(name="a", model=script.model)

    @agent.tool(timeout=0.01)
    async def sleep() -> str:
        """Sleeps."""
        await asyncio.Event().wait()
        return ""

    turn = Turn(conversation_id="c", turn_id="t", messages=(Message(role="user", content="go"),))
    events = [event async for event in agent.respond(turn)]
    (found,) = [event for event in events if isinstance(event, ToolResult)]
    assert found.error == "sleep took more than 0.01 s"


def test_the_docstring_tells_of_parameters() -> None:
    def google(a: int, b: Annotated[str, Field(description="own words")] = "", c: int = 1) -> str:
        """Does it.

        Slowly.

        Args:
            a: The first
                of them.
            b (str): The second.

        Returns:
            Something.
        """
        return ""

    def sphinx(a: int) -> str:
        """Does it.

        :param int a: The first.
        """
        return ""

    tools = Agent(name="a", tools=[google, sphinx]).tools
    assert tools["google"].description == "Does it.\n\nSlowly."
    assert [p.description for p in tools["google"].parameters] == [
        "The first of them.", "own words", "",
    ]  # fmt: skip
    assert tools["google"].schema["properties"]["a"]["description"] == "The first of them."
    assert tools["sphinx"].parameters[0].description == "The first."
    assert docstring_of(lambda: None).text == ""


def unknown_type(x: "Nope") -> str:  # type: ignore[name-defined]  # noqa: F821
    return ""


def no_schema(x: Callable[[int], int]) -> str:
    return ""


def many(*numbers: int) -> str:
    return ""


def only_by_place(x: int, /) -> str:
    return ""


def late_context(x: int, ctx: Context) -> str:
    return ""


def wrong_words(x: Annotated[Literal["new", "old"], Words(nwe=("fresh",))]) -> str:
    return ""


def yields() -> Iterator[int]:
    yield 1


async def yields_later() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (unknown_type, "a type cannot be read: name 'Nope' is not defined"),
        (no_schema, "Cannot generate a JsonSchema"),
        (many, "cannot be filled by name"),
        (only_by_place, "cannot be filled by name"),
        (late_context, "make it the first parameter"),
        (wrong_words, "parameter x: Words for 'nwe'; the values are new, old"),
        (yields, "this one yields"),
        (yields_later, "this one yields"),
    ],
)
def test_functions_that_are_no_tools_are_told_with_their_place(
    function: Callable[..., Any], message: str
) -> None:
    with pytest.raises(errors.InvalidInput) as told:
        Agent(name="a", tools=[function])
    assert f"test_tools.py:{function.__code__.co_firstlineno}: {function.__name__}: " in str(
        told.value
    )
    assert message in str(told.value)


def test_what_is_no_function_is_no_tool() -> None:
    class Model(BaseModel):
        x: int

    with pytest.raises(errors.InvalidInput, match="is no tool; give a function"):
        Agent(name="a", tools=[Model])
