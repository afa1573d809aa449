"""One trace from the caller through the runtime and the agent to its tools, over every protocol."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from runtime_parts import BILL, Platform, agent_of, group_of, routing, turn_of
from runtime_parts import served as serving

from lmos import Agent
from lmos.arc.serving import app
from lmos.llm import Call, ScriptedModel, embedder
from lmos.model import AgentAddress, AgentStatus, Failed, Turn
from lmos.protocols import connecting
from lmos.router import VectorRouter
from lmos.runtime import Routings, Supervisor
from lmos.state import MemoryState
from lmos.store import MemoryStore

CALLER = "0af7651916cd43dd8448eb211c80319c"
HEADERS = {"traceparent": f"00-{CALLER}-b7ad6b7169203331-01"}
PATHS = {
    "a2a": "",
    "openai": "/v1#billing",
    "graphql": "/subscriptions",
    "agui": "/agui",
    "mcp": "/mcp",
}


def billing() -> Agent:
    agent = Agent(
        name="billing",
        version="1.0.0",
        description="Bills.",
        model=ScriptedModel(Call("get_bill"), "It is 42.50 EUR.").model,
    )

    @agent.tool
    async def get_bill() -> str:
        """The bill."""
        return "42.50 EUR"

    return agent


@asynccontextmanager
async def supervised(protocol: str) -> AsyncIterator[Supervisor]:
    """A runtime in front of the agent, which it asks over that protocol."""
    store = MemoryStore()
    application = app(billing())
    async with application.router.lifespan_context(application), serving(application) as url:
        address = AgentAddress(url=url + PATHS[protocol], protocol=protocol)
        found = agent_of("billing", url, BILL).but(status=AgentStatus(address=address))
        await store.apply(found, "test")
        await store.patch_status(found)
        await store.apply(routing("acme", group_of(found, BILL)), "test")
        async with Routings(store, embedder()) as routings:
            yield Supervisor(routings, VectorRouter(embedder()), MemoryState())
        await connecting.disconnect()


async def run(supervisor: Supervisor, turn: Turn) -> None:
    async with aclosing(supervisor.respond(turn)) as events:
        got = [event async for event in events]
    assert not isinstance(got[-1], Failed), got[-1]


def ours(span: ReadableSpan) -> bool:
    """Whether it is not one of a library, such as those of the MCP SDK around its handshake."""
    scope = span.instrumentation_scope
    return scope is not None and scope.name.startswith("lmos.")


def above(spans: tuple[ReadableSpan, ...], name: str) -> list[str]:
    """The names of the spans around the one of that name, nearest first; the caller's is `far`."""
    by_id = {span.context.span_id: span for span in spans if span.context}
    (at,) = (span for span in spans if span.name == name)
    names = []
    while at.parent:
        if at.parent.span_id not in by_id:
            return [*names, "far"]
        at = by_id[at.parent.span_id]
        names.append(at.name)
    return names


@pytest.mark.parametrize("protocol", PATHS)
async def test_runtime_agent_and_tool_are_in_the_callers_trace(
    protocol: str, ended: InMemorySpanExporter
) -> None:
    async with supervised(protocol) as supervisor:
        await run(supervisor, turn_of("how much do I owe", trace=HEADERS))
    spans = tuple(span for span in ended.get_finished_spans() if ours(span))
    assert {span.context.trace_id for span in spans if span.context} == {int(CALLER, 16)}
    assert above(spans, "decide") == ["turn acme/web", "far"]
    inside = above(spans, "tool get_bill")
    assert inside[-4:] == ["agent billing", "ask billing", "turn acme/web", "far"]


async def test_what_the_spans_of_a_turn_tell(ended: InMemorySpanExporter) -> None:
    async with supervised("a2a") as supervisor:
        await run(supervisor, turn_of("how much do I owe"))
    told = {span.name: span for span in ended.get_finished_spans()}
    turn = told["turn acme/web"].attributes or {}
    assert turn["lmos.tenant"] == "acme"
    assert turn["lmos.subset"] == "stable"
    assert turn["gen_ai.conversation.id"] == "c"
    assert [event.name for event in told["turn acme/web"].events] == ["first words"]
    decision = told["decide"].attributes or {}
    assert (decision["lmos.decision.outcome"], decision["lmos.agent"]) == ("route", "billing")
    assert (told["ask billing"].attributes or {})["lmos.agent"] == "billing"
    assert "how much" not in str([dict(span.attributes or {}) for span in told.values()])


async def test_a_failure_is_told_by_its_class_alone(
    platform: Platform, ended: InMemorySpanExporter
) -> None:
    async with aclosing(platform.supervisor.respond(turn_of("   "))) as events:
        with pytest.raises(Exception, match="no user message"):
            await anext(events)
    (turn,) = ended.get_finished_spans()
    assert turn.name == "turn acme/web"
    assert (turn.attributes or {})["error.type"] == "InvalidInput"
    assert turn.status.description is None


async def test_without_a_tracer_the_turn_goes_on_as_it_came(platform: Platform) -> None:
    await platform.turn("how much do I owe", trace=HEADERS)
    assert platform.billing.turns[0].trace == HEADERS
