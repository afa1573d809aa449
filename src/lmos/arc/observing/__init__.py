"""Seeing what agents do: spans for OpenTelemetry, events for followers, figures for Prometheus.

`Watch` is told by the agent what it is doing, and makes a span and an event of each part of a turn;
`metrics` follows the events. Nothing that users, models or tools said is told unless it is switched
on, and a turn that nobody watches costs nothing.
"""

from lmos.arc.observing.events import Bus, Event, Subscription, bus
from lmos.arc.observing.metrics import MEDIA_TYPE, Metrics, endpoint, metrics
from lmos.arc.observing.unwatched import UNWATCHED, Unwatched
from lmos.arc.observing.watch import Watch, watch_of
from lmos.telemetry import Settings, configure, settings, start_tracing, stop_tracing

__all__ = [
    "MEDIA_TYPE",
    "UNWATCHED",
    "Bus",
    "Event",
    "Metrics",
    "Settings",
    "Subscription",
    "Unwatched",
    "Watch",
    "bus",
    "configure",
    "endpoint",
    "metrics",
    "settings",
    "start_tracing",
    "stop_tracing",
    "watch_of",
]
