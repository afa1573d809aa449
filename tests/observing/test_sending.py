"""Spans over OTLP to a collector, in a process that is set up as a served agent is."""

import asyncio
import os
import sys
from typing import Any

import pytest
from observing_parts import served
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lmos.arc import observing

PROGRAM = """
from lmos import Agent
from lmos.arc import observing
from lmos.llm import ScriptedModel

assert observing.start_tracing("my-agent")
assert observing.start_tracing("my-agent")  # is there already
Agent(name="sent", model=ScriptedModel("Hi.").model).run_sync("hello")
observing.stop_tracing()
"""


async def test_a_collector_gets_the_spans() -> None:
    got: list[ExportTraceServiceRequest] = []

    async def traces(request: Request) -> Response:
        got.append(ExportTraceServiceRequest.FromString(await request.body()))
        return Response(media_type="application/x-protobuf")

    app = Starlette(routes=[Route("/v1/traces", traces, methods=["POST"])])
    async with served(app) as url:
        environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": url}
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM),
            env=environment,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            _, errors = await program.communicate()
        assert (program.returncode, errors.decode()) == (0, "")
    spans = [
        span
        for request in got
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert {"agent sent", "llm", "filter input", "generate response"} <= {s.name for s in spans}
    (resource,) = {r.resource.SerializeToString() for q in got for r in q.resource_spans}
    assert b"my-agent" in resource


def test_without_a_collector_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not observing.start_tracing(environment={})
    address = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}
    assert not observing.start_tracing(environment=address)
    observing.stop_tracing()


def test_a_missing_exporter_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from lmos.model import errors

    name: Any = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(errors.MissingExtra, match=r"lmos\[telemetry\]"):
        observing.start_tracing(environment={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})


async def test_an_agent_loads_nothing_of_opentelemetry_by_itself() -> None:
    program = (
        "import sys, lmos.arc.observing, lmos.arc.context\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    asked = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asked.communicate()
    assert out.decode().strip() == "[]"
