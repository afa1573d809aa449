"""The way to OpenTelemetry. Nothing of it is imported before somebody else has.

Spans are made when the program has set up a tracer provider, as OpenTelemetry's own start-up,
`logfire.configure()` or `start_tracing` here do. Otherwise nothing happens, and costs nothing.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lmos.model import Turn, errors
from lmos.telemetry.conventions import Settings

if TYPE_CHECKING:
    from opentelemetry.context import Context as Parent
    from opentelemetry.trace import Tracer

#: Whether the environment names a tracer provider, which OpenTelemetry makes when it is asked.
_NAMED = "OTEL_PYTHON_TRACER_PROVIDER" in os.environ
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class _Chosen:
    """How spans speak in this process, read from the environment when first asked."""

    settings: Settings | None = None


def settings() -> Settings:
    """How spans speak in this process."""
    if _Chosen.settings is None:
        _Chosen.settings = Settings.of()
    return _Chosen.settings


def configure(new: Settings | None) -> None:
    """Has spans speak another way from the next turn on; None: as the environment says."""
    _Chosen.settings = new


def tracer(scope: str) -> "Tracer | None":
    """What makes the spans of a room; None where nobody has set up a tracer provider."""
    api: Any = sys.modules.get("opentelemetry.trace")
    if api is None or (getattr(api, "_TRACER_PROVIDER", api) is None and not _NAMED):
        return None  # the second is what the public call below finds out, in a tenth of its time
    provider = api.get_tracer_provider()
    if isinstance(provider, (api.ProxyTracerProvider, api.NoOpTracerProvider)):
        return None
    made: Tracer = provider.get_tracer(scope)
    return made


def traced() -> bool:
    """Whether spans are made."""
    return tracer("lmos") is not None


def parent_of(turn: Turn) -> "Parent | None":
    """Where the turn's trace goes on: the span around it, or the caller's in the turn's trace
    context where that is of another trace. None is the span around it, if there is one.
    """
    if "traceparent" not in turn.trace:
        return None
    from opentelemetry import trace

    theirs = _propagator().extract(turn.trace)
    here = trace.get_current_span().get_span_context()
    there = trace.get_current_span(theirs).get_span_context()
    if not there.is_valid or here.trace_id == there.trace_id:
        return None
    return theirs  # type: ignore[no-any-return]


def named_by(trace: Mapping[str, str]) -> "Parent | None":
    """The span that the trace headers name; None is the span around the call, if there is one."""
    return _propagator().extract(trace) if "traceparent" in trace else None


def carried(trace: Mapping[str, str], inside: "Parent | None" = None) -> dict[str, str]:
    """Trace headers that continue the span around the call, or the one of that context."""
    headers = dict(trace)
    _propagator().inject(headers, inside)
    return headers


@contextmanager
def loading(file: str) -> Iterator[None]:
    """A span around the reading of a file."""
    made = tracer("lmos.arc")
    if made is None:
        yield
        return
    speaks = settings()
    facts = {**speaks.kind("retriever"), **speaks.told(file=file)}
    name = f"load {file.rpartition('/')[2]}"
    with made.start_as_current_span(name, attributes=facts, record_exception=speaks.content):
        yield


def start_tracing(name: str = "lmos", *, environment: Mapping[str, str] = os.environ) -> bool:
    """Sends spans over OTLP where the environment names a collector
    (`OTEL_EXPORTER_OTLP_ENDPOINT`); whether it does. What the program has set up before is left.
    `MissingExtra` where the exporter is not installed, `InvalidInput` where the environment has
    spans speak in a way that nobody knows.
    """
    settings()
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if traced() or not any(environment.get(key) for key in _ENDPOINTS):
        return traced()
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise errors.MissingExtra("telemetry", "sending spans over OTLP") from None
    named = environment.get("OTEL_SERVICE_NAME") or name
    provider = TracerProvider(resource=Resource.create({"service.name": named}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return True


def stop_tracing() -> None:
    """Sends what is left to send."""
    if not traced():
        return
    from opentelemetry import trace

    flush = getattr(trace.get_tracer_provider(), "force_flush", None)
    if flush is not None:
        flush()


def _propagator() -> Any:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator()
