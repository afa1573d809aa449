"""Agents with the tools of MCP servers, and agents served over MCP."""

import json
import sys
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp_parts import ADD, ASK, OFFER, Slow, agent, client_of, offer_of, served
from protocol_agents import a_turn, events_of, names, rich
from pydantic import BaseModel

from lmos import Agent, Context
from lmos.arc import mcp, mcp_from_environment
from lmos.arc.mcp_serving import face
from lmos.arc.mcp_tools import McpTools
from lmos.arc.schema_tools import tool_of_schema
from lmos.llm import Call, ScriptedModel
from lmos.model import AgentAddress, Answer, InputRequired, ToolResult, TurnEvent
from lmos.model.errors import InvalidInput
from lmos.protocols.connecting import connect
from lmos.protocols.mcp import Face, Tool, close_all


@pytest.fixture(autouse=True)
async def _closed() -> AsyncGenerator[None, None]:
    yield
    await close_all()


async def answered(asked: Agent, text: str = "hello") -> list[TurnEvent]:
    await asked.start()
    try:
        return await events_of(asked.respond, a_turn(text))
    finally:
        await asked.stop()


def results(events: list[TurnEvent]) -> list[tuple[str, str, str | None]]:
    return [(e.name, e.result, e.error) for e in events if isinstance(e, ToolResult)]


# --- tools of MCP servers -------------------------------------------------------------------------


async def test_a_language_model_calls_remote_tools_like_its_own() -> None:
    script = ScriptedModel(
        Call("add", {"a": 2, "b": 3}),
        Call("add", {"a": "x", "b": 3}),
        Call("fail", {}),
        "It is 5.",
    )
    async with served(Face(OFFER)) as url:
        events = await answered(Agent(name="a", model=script.model, tools=[mcp(url)]))
        await close_all()
    found = results(events)
    assert found[0] == ("add", '{"sum":5}', None)
    assert "a: Input should be a valid integer" in str(found[1][2])
    assert found[2][2] == "somebody else has the bill"
    assert names(events)[-2:] == ["message", "done"]


async def test_only_what_is_allowed_is_there() -> None:
    async with served(Face(OFFER)) as url:
        for options, expected in (
            ({}, ["add", "fail", "break", "who"]),
            ({"allow": ["add", "w*"]}, ["add", "who"]),
            ({"deny": ["*a*"]}, ["who"]),
            ({"allow": ["*"], "deny": ["add"], "prefix": "x_"}, ["x_fail", "x_break", "x_who"]),
        ):
            assert [tool.name for tool in await mcp(url, **options).tools()] == expected
        await close_all()


async def test_names_that_clash_are_prefixed() -> None:
    async def add(ctx: Context, a: int, b: int) -> int:
        """Adds here."""
        return a + b

    script = ScriptedModel(
        Call("add", {"a": 1, "b": 1}),
        Call("one_add", {"a": 1, "b": 2}),
        Call("two_add", {"a": 1, "b": 3}),
        "Done.",
    )
    async with served(Face(offer_of(ADD))) as url:
        remote = [mcp(url, label="one"), mcp(url, label="two")]
        events = await answered(Agent(name="a", model=script.model, tools=[add, *remote]))
        await close_all()
    assert [(name, result) for name, result, _ in results(events)] == [
        ("add", "2"),
        ("one_add", '{"sum":3}'),
        ("two_add", '{"sum":4}'),
    ]


async def test_without_a_language_model_a_use_case_calls_remote_tools() -> None:
    cases = """
### UseCase: add_up
#### Description
The customer wants to add two numbers.
#### Solution
Call @add().
"The sum is {{add.sum}}."
#### Examples
- add 3 and 4
- what is the sum
"""
    async with served(Face(offer_of(ADD))) as url:
        made = Agent(name="adder", model="direct", use_cases=cases, tools=[mcp(url)])
        made.check()  # its tools are not known yet
        events = await answered(made, "what is the sum")
        assert isinstance(events[-1], InputRequired)
        assert events[-1].message.content == "Please tell me a."
        wrong = cases.replace("@add", "@nope")
        with pytest.raises(InvalidInput, match="nope"):
            await Agent(name="w", model="direct", use_cases=wrong, tools=[mcp(url)]).start()
        await close_all()


async def test_an_agent_goes_on_without_a_server_that_is_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    script = ScriptedModel("Hello.")
    made = Agent(name="a", model=script.model, tools=[mcp("http://127.0.0.1:9/mcp")])
    events = await answered(made)
    assert isinstance(events[-2], Answer)
    assert events[-2].message.content == "Hello."
    assert "tools of 127_0_0_1_9 are missing" in caplog.text


async def test_new_tools_come_with_the_next_turn() -> None:
    tools: list[Tool] = [ADD]
    async with served(Face(lambda: offer_of(*tools))) as url:
        source = mcp(url, tools_time=0.0)
        assert len(await source.tools()) == 1
        tools.append(Slow().tool)
        assert len(await source.tools()) == 2
        await close_all()


async def test_what_is_known_of_a_turn_goes_along() -> None:
    seen: list[Mapping[str, Any]] = []

    async def look(caller: Any, arguments: Mapping[str, Any]) -> Any:
        from lmos.protocols.mcp import Result

        seen.append(caller.meta)
        return Result(("seen",))

    script = ScriptedModel(Call("look", {}), "Done.")
    async with served(Face(offer_of(Tool("look", "Looks.", {"type": "object"}, look)))) as url:
        source = mcp(url, meta=lambda ctx: {"acme/tenant": ctx.tenant})
        await answered(Agent(name="a", model=script.model, tools=[source]))
        await close_all()
    assert seen[0]["acme/tenant"] == "acme"


async def test_prompts_and_resources_are_there_for_the_agent() -> None:
    async with served(Face(OFFER)) as url:
        source = mcp(url)
        assert await source.prompt("greet", name="Ann") == "Greet Ann."
        assert [p.name for p in await source.prompts()] == ["greet"]
        assert len(await source.resources()) == 2
        assert (await source.read("bill://7"))[0].source == "bill://7"
        await close_all()


def test_settings_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert mcp_from_environment() == []
    monkeypatch.setenv("ARC_MCP_TOOLS_URLS", "http://a:1, http://b/x ,")
    found = [source.server for source in mcp_from_environment()]
    assert [(s.url, s.transport, s.tools_time) for s in found] == [
        ("http://a:1/sse", "sse", 60.0),
        ("http://b/x", "http", 60.0),
    ]
    monkeypatch.setenv("ARC_MCP_TOOLS_TRANSPORT", "streamable-http")
    monkeypatch.setenv("ARC_MCP_TOOLS_CACHE_DURATION", "PT2M30S")
    first = mcp_from_environment()[0].server
    assert (first.url, first.tools_time) == ("http://a:1/mcp", 150.0)
    for name, value in (("TRANSPORT", "pigeon"), ("CACHE_DURATION", "soon")):
        monkeypatch.setenv(f"ARC_MCP_TOOLS_{name}", value)
        with pytest.raises(InvalidInput, match=value):
            mcp_from_environment()
        monkeypatch.delenv(f"ARC_MCP_TOOLS_{name}")


def test_a_source_is_called_after_its_server() -> None:
    assert McpTools(mcp("http://u:p@h:80/mcp").server).label == "h_80"


# --- tools from schemas ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "given", "expected"),
    [
        ({"properties": {"n": {"type": "integer"}}}, {"n": 3}, {"n": 3}),
        ({"properties": {"n": {"type": "integer"}}}, {}, {}),
        ({"properties": {"x": {"type": "number"}}}, {"x": 3}, {"x": 3}),
        ({"properties": {"s": {"type": ["string", "null"]}}}, {"s": None}, {"s": None}),
        ({"properties": {"e": {"enum": ["a", "b"]}}}, {"e": "b"}, {"e": "b"}),
        ({"properties": {"ctx": {"type": "string"}}}, {"ctx": "x"}, {"ctx": "x"}),
        ({"properties": {"a-b": {"$ref": "#/x"}}}, {"a-b": [1]}, {"a-b": [1]}),
        ({"properties": {"any": True}}, {"any": {"x": 1}}, {"any": {"x": 1}}),
        ({}, {"free": 1}, {"free": 1}),
        ({"additionalProperties": False}, {"free": 1}, "free: Extra inputs"),
        ({"properties": {"n": {"type": "integer"}}, "required": ["n"]}, {}, "n: Field required"),
        ({"properties": {"e": {"enum": ["a"]}}}, {"e": "b"}, "e: Input should be 'a'"),
        ({"properties": {"o": {"type": "object"}}}, {"o": "b"}, "o: Input should be a valid dict"),
    ],
)
async def test_arguments_are_checked_against_a_schema(
    schema: dict[str, Any], given: dict[str, Any], expected: Any
) -> None:
    async def call(ctx: Context, arguments: dict[str, Any]) -> Any:
        return arguments

    tool = tool_of_schema("t", "T.", schema, call)
    assert tool.schema["type"] == "object"
    ctx: Any = None
    if isinstance(expected, str):
        with pytest.raises(InvalidInput, match=expected):
            await tool.call(ctx, given)
    else:
        assert await tool.call(ctx, given) == expected


# --- agents over MCP ------------------------------------------------------------------------------


class Bill(BaseModel):
    amount: str


def biller(name: str = "billing") -> Agent:
    script = ScriptedModel(Call("get_bill", {"month": "latest"}), "It is 42.50 EUR.")
    made = Agent(
        name=name,
        version="1.2.0",
        description="Bills.",
        model=script.model,
        use_cases="""
### UseCase: view_bill
#### Description
The customer wants to see a bill.
#### Solution
Call @get_bill().
#### Examples
- show me my bill
""",
    )

    @made.tool
    async def get_bill(ctx: Context, month: str = "latest") -> Bill:
        """The bill of a month."""
        ctx.emit(f"looking for {ctx.user.id or 'nobody'}")
        return Bill(amount=f"42.50 {month}")

    return made


async def test_an_agent_and_its_tools_are_served() -> None:
    told: list[str | None] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        told.append(message)

    async with served(face(biller())) as url, client_of(url) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"ask_billing", "get_bill"}
        meta = tools["get_bill"].meta
        assert meta is not None
        assert (meta["agent"], meta["version"]) == ("billing", "1.2.0")
        bill = await client.call_tool("get_bill", {"month": "May"}, progress_callback=progress)
        assert bill.structured_content == {"amount": "42.50 May"}
        assert told == ["looking for nobody"]
        wrong = await client.call_tool("get_bill", {"day": 1})
        assert wrong.is_error
        answer = await client.call_tool("ask_billing", {"input": "my bill"})
        assert answer.structured_content["answer"] == "It is 42.50 EUR."
        (prompt,) = (await client.list_prompts()).prompts
        assert prompt.name == "view_bill"
        said = (await client.get_prompt("view_bill")).messages[0]
        assert said.content.text == "show me my bill"


async def test_tools_of_several_agents_keep_apart() -> None:
    async with served(face(biller("one"), biller("two"))) as url, client_of(url) as client:
        found = [tool.name for tool in (await client.list_tools()).tools]
    assert found == ["ask_one", "ask_two", "one_get_bill", "two_get_bill"]


STDIO = """
from lmos import Agent
from lmos.arc.mcp_serving import stdio
from lmos.llm import ScriptedModel

print("before anything is served")
stdio(Agent(name="small", model=ScriptedModel("Hello there.").model))
"""


async def test_an_agent_on_standard_streams(tmp_path: Path) -> None:
    script = tmp_path / "small.py"
    script.write_text(STDIO)
    parameters = StdioServerParameters(command=sys.executable, args=[str(script)])
    async with Client(parameters, cache=None) as client:
        answer = await client.call_tool("ask_small", {"input": "hi"})
    assert answer.structured_content["answer"] == "Hello there."


async def test_the_runtime_asks_agents_over_mcp() -> None:
    async with served(Face(agent(rich))) as url:
        for place in (url, f"{url}#{ASK}"):
            found = await events_of(connect(AgentAddress(url=place, protocol="mcp")), a_turn())
            assert found == await events_of(rich, a_turn())
        await close_all()


def test_nothing_of_it_is_imported_before_it_is_used() -> None:
    import subprocess

    code = "import lmos.arc, sys, json; print(json.dumps([m for m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert not {"mcp", "starlette", "lmos.protocols.mcp"} & set(json.loads(done.stdout))
