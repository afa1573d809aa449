"""An agent's process, as operations see it."""

import asyncio
import json
import os
import signal
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

import aiohttp
from observing_parts import served
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lmos import Agent
from lmos.arc import observing
from lmos.arc.filters import Replace
from lmos.arc.serving import Settings, app
from lmos.llm import ScriptedModel

MODULE = """
from lmos import Agent
from lmos.llm import ScriptedModel

agent = Agent(name="hello-agent", model=ScriptedModel("Hello.").model)
"""
ASKED = {"model": "hello-agent", "messages": [{"role": "user", "content": "hi"}]}


async def test_a_served_agent_has_figures_and_sends_spans(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(MODULE)
    got: list[ExportTraceServiceRequest] = []

    async def traces(request: Request) -> Response:
        got.append(ExportTraceServiceRequest.FromString(await request.body()))
        return Response(media_type="application/x-protobuf")

    collector = Starlette(routes=[Route("/v1/traces", traces, methods=["POST"])])
    async with served(collector) as url, asyncio.timeout(90):
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "lmos", "serve", "hello:agent", "--port", "0"),
            cwd=tmp_path,
            env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": url, "PYTHONPATH": str(tmp_path)},
            stdout=asyncio.subprocess.PIPE,
        )
        assert program.stdout
        line = (await program.stdout.readline()).decode()
        address = line.split(" at ")[1].split(",")[0]
        trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
        async with aiohttp.ClientSession() as session:
            asked = session.post(f"{address}/v1/chat/completions", json=ASKED, headers=trace)
            async with asked as answer:
                assert answer.status == 200, await answer.text()
            async with session.get(f"{address}/metrics") as answer:
                assert answer.headers["content-type"] == observing.MEDIA_TYPE
                text = await answer.text()
        program.send_signal(signal.SIGTERM)
        await program.wait()
    assert 'arc_agent_finished_seconds_count{agent="hello-agent"' in text
    spans = [s for q in got for r in q.resource_spans for c in r.scope_spans for s in c.spans]
    (top,) = (span for span in spans if span.name == "agent hello-agent")
    assert top.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert top.parent_span_id.hex() == "b7ad6b7169203331"


async def test_developers_see_filters_and_models_over_graphql() -> None:
    from lmos.arc.serving.happening import forwarding
    from lmos.protocols.graphql import Feed

    feed = Feed()
    made = Agent(name="a", model=ScriptedModel("x").model, output_filters=[Replace("x", "y")])
    found: list[Any] = []

    async def watch() -> None:
        async with aclosing(feed.events()) as events:
            async for event in events:
                found.append(event)

    async with forwarding(feed)():
        watching = asyncio.create_task(watch())
        await asyncio.sleep(0)
        await made.run("hi", conversation="c")
        await asyncio.sleep(0.05)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert not observing.bus.active
    (executed,) = (event for event in found if event.type == "FilterExecutedEvent")
    assert json.loads(executed.payload)["output"] == "y"
    assert executed.conversation_id == "c"
    assert "AgentFinishedEvent" not in {event.type for event in found}


def test_an_application_has_figures_where_it_is_given_them() -> None:
    figures = observing.Metrics(observing.Bus())
    made = Agent(name="a", model=ScriptedModel("x").model)
    paths = {
        route.path for route in app(made, Settings(metrics=observing.endpoint(figures))).routes
    }
    assert "/metrics" in paths
