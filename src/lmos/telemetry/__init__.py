"""Seeing what the platform does: spans for OpenTelemetry, figures for Prometheus.

The rooms above tell what they do here, in neutral words; `conventions` gives those their names,
`tracing` makes spans of them where a program has set up a tracer, and `prometheus` writes figures
down. A turn's spans are one trace, in the runtime, in the agents and in their tools: it travels in
the turn.
"""

from lmos.telemetry.conventions import Settings
from lmos.telemetry.tracing import (
    configure,
    settings,
    start_tracing,
    stop_tracing,
    traced,
)

__all__ = ["Settings", "configure", "settings", "start_tracing", "stop_tracing", "traced"]
