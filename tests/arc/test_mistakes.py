"""What somebody gets wrong who writes a first agent: told at once, with what to do."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from lmos import Agent, Context
from lmos.arc import Chain, Team
from lmos.llm import ScriptedModel, resolve_model
from lmos.model import errors


def agent(**options: Any) -> Agent:
    return Agent(name="a", **{"model": ScriptedModel("Hello.").model, **options})


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: Agent(name=""), "Agent(name=...)"),
        (lambda: agent(channels="web"), "channels='web' takes several; write channels=[...]"),
        (lambda: agent(deps=object), "write deps=[...]"),
        (lambda: agent(limit=5), "limit=5 is no RateLimit; give RateLimit(60, per=60)"),
        (lambda: agent(budget=5), "budget=5 is no Budget"),
        (lambda: agent(adl="loose"), "strict or arc"),
        (lambda: agent(agents=["billing"]), "'billing' is no agent; give an Agent"),
        (lambda: Team("t", [1]), "1 is no agent"),  # type: ignore[list-item]
        (lambda: Chain("c", ["x"]), "'x' is no agent"),  # type: ignore[list-item]
        (lambda: agent(output_filters=[str.upper, lambda text: text]), "called with (ctx, text)"),
    ],
)
def test_an_argument_of_the_wrong_kind(made: Callable[[], object], told: str) -> None:
    with pytest.raises(errors.InvalidInput) as raised:
        made()
    assert told in raised.value.message


def no_context(text: str) -> str:
    return text


def nothing() -> str:
    return ""


@pytest.mark.parametrize(
    ("decorator", "function"),
    [
        ("input_filter", no_context),
        ("output_filter", no_context),
        ("instructions", nothing),
        ("on_fail", no_context),
        ("on_start", nothing),
    ],
)
def test_a_function_that_takes_something_else(decorator: str, function: Any) -> None:
    with pytest.raises(errors.InvalidInput, match=rf"test_mistakes.py:\d+: {function.__name__}\("):
        getattr(agent(), decorator)(function)


def test_filters_in_every_form_are_taken() -> None:
    class Shout:
        def __call__(self, ctx: Context, text: str) -> str:
            return text.upper()

    shouting = agent(output_filters=[Shout(), lambda ctx, text: f"{text}!"])
    assert shouting.run_sync("hello").text == "HELLO.!"


def test_a_tool_where_several_are_meant() -> None:
    def get_bill(month: str) -> str:
        return month

    def add(a: int, b: int) -> int:
        return a + b

    with pytest.raises(errors.InvalidInput, match=r"for one tool write tools=\[\.\.\.\]"):
        agent(tools=add)
    with pytest.raises(errors.InvalidInput, match=r"it gave Context; .* write tools=\[\.\.\.\]"):
        agent(tools=get_bill).run_sync("hello")


async def test_run_sync_where_a_loop_runs() -> None:
    with pytest.raises(errors.InvalidInput, match="await run"):
        agent().run_sync("hello")


def test_an_agent_that_can_answer_nothing_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "lmos.arc"):
        answer = agent(model="direct").run_sync("hello")
    assert answer.text == "I cannot help with that."
    assert "a has neither use cases nor a language model (asked for)" in caplog.text


def test_a_model_without_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(errors.InvalidInput, match="OPENAI_API_KEY") as raised:
        _ = resolve_model("openai:gpt-4o-mini").model
    assert "Pydantic AI" not in raised.value.message
