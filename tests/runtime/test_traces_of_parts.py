"""Where several agents answer, each one's part is in the turn's trace."""

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from lmos import Agent, Supervisor
from lmos.llm import Call, ScriptedModel
from lmos.model import Candidate, Decision, SubTask
from lmos.router import RoutingRequest, RoutingTable


def tree(exporter: InMemorySpanExporter) -> set[tuple[str, str]]:
    """Each span of the runtime's and of the agents' turns, with the one it is in."""
    spans = exporter.get_finished_spans()
    names = {span.context.span_id: span.name for span in spans if span.context}
    found = {(s.name, names.get(s.parent.span_id, "far") if s.parent else "") for s in spans}
    return {(name, above) for name, above in found if name.split()[0] in SEEN}


SEEN = ("turn", "decide", "part", "ask", "agent", "llm")


def agents() -> list[Agent]:
    return [Agent(name=name, model=ScriptedModel(f"{name}.")) for name in ("billing", "orders")]


class Splitting:
    """A router that finds two things in everything."""

    name = "splitting"

    async def decide(self, request: RoutingRequest, table: RoutingTable) -> Decision:
        tasks = [SubTask(text=f"secret {n}", agent=n, capability="x") for n in table.names]
        candidates = tuple(Candidate(agent=name, probability=0.5) for name in table.names)
        return Decision(outcome="multi", candidates=candidates, tasks=tuple(tasks))


PARTS = {
    ("turn /", ""),
    ("decide", "turn /"),
    ("part 0", "turn /"),
    ("part 1", "turn /"),
    ("ask billing", "part 0"),
    ("ask orders", "part 1"),
    ("agent billing", "ask billing"),
    ("agent orders", "ask orders"),
}


async def test_sub_tasks(ended: InMemorySpanExporter) -> None:
    async with Supervisor(agents(), Splitting()) as supervisor:
        await supervisor.run("secret")
    assert {(name, above) for name, above in tree(ended) if name != "llm"} == PARTS
    (part,) = (span for span in ended.get_finished_spans() if span.name == "part 0")
    told = dict(part.attributes or {})
    assert told == {"lmos.agent": "billing", "lmos.capability": "x"}
    assert "secret" not in str([dict(s.attributes or {}) for s in ended.get_finished_spans()])


async def test_a_plan(ended: InMemorySpanExporter) -> None:
    calls = [Call(name, {"request": "secret"}) for name in ("billing", "orders")]
    model = ScriptedModel(calls, "Both.")
    async with Supervisor(agents(), collaboration="supervised", model=model) as supervisor:
        await supervisor.run("secret")
    assert tree(ended) >= {*PARTS, ("llm", "turn /")}
    (decided,) = (span for span in ended.get_finished_spans() if span.name == "decide")
    assert (decided.attributes or {})["lmos.decision.stage"] == "supervised"


async def test_a_part_that_fails(ended: InMemorySpanExporter) -> None:
    @(broken := Agent(name="billing", model=ScriptedModel("x"))).input_filter
    def fail(ctx: object, text: str) -> str:
        raise ValueError("secret")

    async with Supervisor([broken, agents()[1]], Splitting()) as supervisor:
        await supervisor.run("secret")
    failed = {s.name for s in ended.get_finished_spans() if (s.attributes or {}).get("error.type")}
    assert {"part 0", "ask billing"} <= failed
    assert "part 1" not in failed
