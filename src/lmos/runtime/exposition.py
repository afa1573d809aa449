"""The runtime's figures for Prometheus, at `GET /metrics`."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lmos.runtime.admission import Admission
from lmos.runtime.metrics import BOUNDS, Arm, Figures, Latency, Metrics, Part

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

#: The media type of Prometheus's text format.
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[str, ...]


def route(metrics: Metrics, admission: Admission) -> Route:
    """`GET /metrics`."""

    async def get(request: Request) -> Response:
        return Response(render(metrics, admission), media_type=MEDIA_TYPE)

    return Route("/metrics", get, methods=["GET"])


def render(metrics: Metrics, admission: Admission) -> bytes:
    """The figures in Prometheus's text format."""
    from prometheus_client import generate_latest

    class Registry:
        """What the library reads figures from."""

        def collect(self) -> Iterator["Metric"]:
            yield from _turns(metrics.turns)
            yield from _admission(admission)
            yield from _decisions(metrics)
            yield from _agents(metrics)

    written: bytes = generate_latest(Registry())
    return written


def _turns(turns: Mapping[Arm, Figures]) -> "Iterator[Metric]":
    labels = Arm._fields
    yield _histogram(
        "lmos_turn_seconds", "Whole turns.", labels, ((a, f.whole) for a, f in turns.items())
    )
    yield _histogram(
        "lmos_turn_first_seconds",
        "Until the caller got the first of the answer.",
        labels,
        ((a, f.first) for a, f in turns.items()),
    )
    yield _counter("lmos_turns", "Turns by how they ended.", (*labels, "end"), _ends(turns))


def _admission(admission: Admission) -> "Iterator[Metric]":
    refused = (((tenant,), n) for tenant, n in admission.refused.items())
    yield _counter("lmos_turns_refused", "Turns refused.", ("tenant",), refused)
    yield _gauge("lmos_turns_running", "Turns that run.", admission.running)
    yield _gauge("lmos_turns_waiting", "Turns that wait for a place.", admission.waiting)


def _decisions(metrics: Metrics) -> "Iterator[Metric]":
    counted = (((*arm, how, stage), n) for (arm, how, stage), n in metrics.outcomes.items())
    labels = (*Arm._fields, "outcome", "stage")
    yield _counter("lmos_decisions", "Decisions by outcome and stage.", labels, counted)
    yield _histogram("lmos_decision_seconds", "Deciding.", (), [((), metrics.deciding)])
    people = metrics.people.items()
    yield _counter("lmos_handed_to_people", "Conversations handed to people.", Arm._fields, people)
    shadows = metrics.shadows.items()
    yield _counter("lmos_shadows", "Decisions made beside.", ("shadow", "end"), shadows)
    cost = [((), metrics.cost)]
    yield _counter("lmos_decision_cost_dollars", "What the router's model cost.", (), cost)


def _agents(metrics: Metrics) -> "Iterator[Metric]":
    labels, agents = Part._fields, metrics.agents
    yield _histogram(
        "lmos_agent_seconds",
        "Agents' parts of turns.",
        labels,
        ((p, f.whole) for p, f in agents.items()),
    )
    yield _histogram(
        "lmos_agent_first_seconds",
        "Until an agent gave the first of its answer.",
        labels,
        ((p, f.first) for p, f in agents.items()),
    )
    ends = (*labels, "end")
    yield _counter("lmos_agent_turns", "Agents' parts by how they ended.", ends, _ends(agents))
    yield _counter("lmos_agent_spared", "Turns not asked for.", labels, metrics.spared.items())
    unshared = (((agent,), n) for agent, n in metrics.unshared.items())
    yield _counter("lmos_unshared", "Values that were not shared.", ("agent",), unshared)


def _ends(of: Mapping[Arm, Figures] | Mapping[Part, Figures]) -> Iterator[tuple[Labels, int]]:
    return (((*whose, how), n) for whose, f in of.items() for how, n in f.ends.items())


def _counter(
    name: str, what: str, labels: Labels, counts: Iterable[tuple[Labels, float]]
) -> "Metric":
    from prometheus_client.metrics_core import CounterMetricFamily

    family = CounterMetricFamily(name, what, labels=labels)
    for values, count in counts:
        family.add_metric(values, count)
    return family


def _gauge(name: str, what: str, value: float) -> "Metric":
    from prometheus_client.metrics_core import GaugeMetricFamily

    return GaugeMetricFamily(name, what, value=value)


def _histogram(
    name: str, what: str, labels: Labels, latencies: Iterable[tuple[Labels, Latency]]
) -> "Metric":
    from prometheus_client.metrics_core import HistogramMetricFamily

    family = HistogramMetricFamily(name, what, labels=labels)
    for values, latency in latencies:
        below, buckets = 0, []
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), latency.buckets, strict=True):
            below += count
            buckets.append((bound, below))
        family.add_metric(values, buckets, latency.seconds)
    return family
