"""The runtime's figures for Prometheus, at `GET /metrics`."""

from collections.abc import Iterator, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lmos.runtime.admission import Admission
from lmos.runtime.metrics import BOUNDS, Latency, Metrics

#: The media type of Prometheus's text format.
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def route(metrics: Metrics, admission: Admission) -> Route:
    """`GET /metrics`."""

    async def get(request: Request) -> Response:
        return Response(render(metrics, admission), media_type=MEDIA_TYPE)

    return Route("/metrics", get, methods=["GET"])


def render(metrics: Metrics, admission: Admission) -> str:
    """The figures in Prometheus's text format."""
    lines = [
        *_latencies("lmos_turn_seconds", "Whole turns.", "channel", metrics.turns),
        *_latencies(
            "lmos_turn_first_seconds",
            "Until the caller got the first of the answer.",
            "channel",
            metrics.firsts,
        ),
        *_counts("lmos_turns_total", "Turns by how they ended.", "end", metrics.ends),
        *_counts("lmos_turns_refused_total", "Turns refused.", "tenant", admission.refused),
        *_gauge("lmos_turns_running", "Turns that run.", admission.running),
        *_gauge("lmos_turns_waiting", "Turns that wait for a place.", admission.waiting),
        *_counts("lmos_decisions_total", "Decisions.", "outcome", metrics.outcomes),
        *_latencies("lmos_decision_seconds", "Deciding.", "", {"": metrics.decisions}),
        *_latencies("lmos_agent_seconds", "Agents' parts of turns.", "agent", metrics.agents),
        *_counts("lmos_agent_failures_total", "Failures.", "agent", metrics.failures),
        *_counts("lmos_agent_spared_total", "Turns not asked for.", "agent", metrics.spared),
    ]
    return "\n".join(lines) + "\n"


def _head(name: str, kind: str, what: str) -> list[str]:
    return [f"# HELP {name} {what}", f"# TYPE {name} {kind}"]


def _counts(name: str, what: str, label: str, counts: Mapping[str, int]) -> Iterator[str]:
    yield from _head(name, "counter", what)
    for value, count in sorted(counts.items()):
        yield f"{name}{_labels((label, value))} {count}"


def _gauge(name: str, what: str, value: int) -> Iterator[str]:
    yield from _head(name, "gauge", what)
    yield f"{name} {value}"


def _latencies(name: str, what: str, label: str, found: Mapping[str, Latency]) -> Iterator[str]:
    yield from _head(name, "histogram", what)
    for value, latency in sorted(found.items()):
        whose = ((label, value),) if label else ()
        below = 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), latency.buckets, strict=True):
            below += count
            yield f"{name}_bucket{_labels(*whose, ('le', bound))} {below}"
        yield f"{name}_sum{_labels(*whose)} {latency.seconds:.6f}"
        yield f"{name}_count{_labels(*whose)} {below}"


def _labels(*labels: tuple[str, str]) -> str:
    return "{" + ",".join(_label(*label) for label in labels) + "}" if labels else ""


def _label(name: str, value: str) -> str:
    escaped = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'{name}="{escaped}"'
