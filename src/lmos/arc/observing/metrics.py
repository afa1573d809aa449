"""Figures of the agents in a process, for Prometheus, under the names of the original ARC.

`metrics.begin()` follows the events from then on; `metrics.render()` is the answer to
`GET /metrics`, and `endpoint()` gives it. Timers are summaries: count, sum, longest, and the
quantiles 0.5 and 0.95 of the last measurements.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lmos.arc.observing.events import (
    CANCELLED,
    AgentFinishedEvent,
    Bus,
    Event,
    FilterExecutedEvent,
    LLMFinishedEvent,
    RateLimitedEvent,
    RateLimitTimeoutEvent,
    RouterRoutedEvent,
    bus,
)

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

#: The media type of what `render` gives.
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: Measurements that quantiles are read from.
RECENT = 512
#: Series of one metric; what would be more is counted together, with labels `other`.
SERIES = 1000
QUANTILES = (0.5, 0.95)

Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Timer:
    """How long something took, in seconds."""

    count: int = 0
    total: float = 0.0
    longest: float = 0.0
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    def observe(self, seconds: float) -> None:
        """Counts one."""
        self.count += 1
        self.total += seconds
        self.longest = max(self.longest, seconds)
        self.recent.append(seconds)

    def quantile(self, part: float) -> float:
        """The measurement that this part of the recent ones does not exceed."""
        ordered = sorted(self.recent)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


class Metrics:
    """Timers and counters by name and labels."""

    def __init__(self, events: Bus = bus) -> None:
        self._bus = events
        self._timers: dict[str, dict[Labels, Timer]] = {}
        self._counters: dict[str, Counter[Labels]] = {}

    def begin(self) -> None:
        """Follows the events from now on."""
        self._bus.listen(self.follow)

    def end(self) -> None:
        """Follows no more."""
        self._bus.stop(self.follow)

    def time(self, name: str, seconds: float, /, **labels: str) -> None:
        """Counts a duration."""
        series = self._timers.setdefault(name, {})
        key = _key(labels, series)
        if key not in series:
            series[key] = Timer()
        series[key].observe(seconds)

    def count(self, name: str, number: int = 1, /, **labels: str) -> None:
        """Adds to a counter."""
        series = self._counters.setdefault(name, Counter())
        series[_key(labels, series)] += number

    def follow(self, event: Event) -> None:
        """Counts what has happened."""
        agent = event.context.get("agent", "")
        match event:
            case AgentFinishedEvent():
                self._finished(event)
            case LLMFinishedEvent():
                self._answered(event, agent)
            case FilterExecutedEvent():
                self.time("arc.filter.executed", event.duration, name=event.name, agent=agent)
            case RateLimitedEvent():
                self.time("arc.agent.rate.limited", event.duration, agent=agent)
            case RateLimitTimeoutEvent():
                self.time("arc.agent.rate.timeout", event.duration, agent=agent)
            case RouterRoutedEvent():
                self.time(
                    "arc.router.routed",
                    event.duration,
                    accuracy=f"{event.accuracy:.1f}",
                    destination=event.destination,
                    agent=agent,
                )

    def render(self) -> str:
        """All figures, as Prometheus reads them."""
        lines = [
            line for name, series in sorted(self._timers.items()) for line in _timed(name, series)
        ]
        for name, counted in sorted(self._counters.items()):
            plain = f"{_name(name)}_total"
            lines.append(f"# TYPE {plain} counter")
            lines += [f"{plain}{_labels(key)} {number}" for key, number in counted.items()]
        return "\n".join([*lines, ""])

    def _finished(self, event: AgentFinishedEvent) -> None:
        if event.status == CANCELLED:
            return  # the caller has gone, which tells nothing of the agent
        if event.error:
            self.time("arc.agent.failed", event.duration, agent=event.agent)
            return
        self.time(
            "arc.agent.finished",
            event.duration,
            agent=event.agent,
            model=event.model,
            flowBreak=str(event.flow_break).lower(),
            tools=",".join(event.tools),
        )
        if event.flow_break:
            self.count("arc.agent.flowBreak", agent=event.agent)

    def _answered(self, event: LLMFinishedEvent, agent: str) -> None:
        self.time(
            "arc.llm.finished",
            event.duration,
            model=event.model,
            agent=agent,
            tools=",".join(event.functions),
            called_tools=",".join(event.called_functions),
        )
        for type_, number in (
            ("totalTokens", event.total_tokens),
            ("promptTokens", event.prompt_tokens),
            ("completionTokens", event.completion_tokens),
            ("function_calls", event.function_call_count),
        ):
            self.count(
                "arc.llm.finished.executor", number, model=event.model, agent=agent, type=type_
            )


def _key(labels: Mapping[str, str], series: Mapping[Labels, object]) -> Labels:
    key = tuple(labels.items())
    if key in series or len(series) < SERIES:
        return key
    return tuple((name, "other") for name in labels)


def _timed(name: str, series: Mapping[Labels, Timer]) -> Iterator[str]:
    plain = f"{_name(name)}_seconds"
    yield f"# TYPE {plain} summary"
    for key, timer in series.items():
        for part in QUANTILES:
            yield f"{plain}{_labels([*key, ('quantile', str(part))])} {timer.quantile(part):g}"
        yield f"{plain}_count{_labels(key)} {timer.count}"
        yield f"{plain}_sum{_labels(key)} {timer.total:g}"
    yield f"# TYPE {plain}_max gauge"
    for key, timer in series.items():
        yield f"{plain}_max{_labels(key)} {timer.longest:g}"


def _name(name: str) -> str:
    return name.replace(".", "_")


def _labels(labels: Iterable[tuple[str, str]]) -> str:
    told = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{told}}}" if told else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


#: The process's figures.
metrics = Metrics()


def endpoint(figures: Metrics = metrics) -> "ASGIApp":
    """What answers `GET /metrics`; the figures are followed from now on."""
    from starlette.responses import Response

    figures.begin()

    async def answer(scope: "Scope", receive: "Receive", send: "Send") -> None:
        await Response(figures.render(), media_type=MEDIA_TYPE)(scope, receive, send)

    return answer
