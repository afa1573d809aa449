"""What the runtime counts and times."""

import bisect
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lmos.model import (
    TERMINAL,
    Answer,
    Decision,
    Failed,
    InputRequired,
    TextDelta,
    TurnEvent,
    errors,
)

#: Upper bounds of a latency's buckets, in seconds; what takes longer falls into one more.
BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


@dataclass(slots=True)
class Latency:
    """How long something took: how often each bucket of `BOUNDS` was met, and all seconds."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0

    def observe(self, seconds: float) -> None:
        """Counts one."""
        self.buckets[bisect.bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.buckets)


@dataclass(slots=True)
class Asking:
    """An agent being asked; `failed` is set when it fails."""

    failed: bool = False


#: What a turn is counted as whose caller left before its end.
LEFT = "LEFT"


@dataclass(slots=True)
class Timing:
    """A turn on its way, from when it came in."""

    _turns: Latency
    _firsts: Latency
    _ends: Counter[str]
    _began: float = field(default_factory=time.perf_counter)
    _silent: bool = True
    _ended: bool = False

    def saw(self, event: TurnEvent) -> None:
        """Takes in an event that the caller gets."""
        if self._silent and isinstance(event, TextDelta | Answer | InputRequired):
            self._silent = False
            self._firsts.observe(time.perf_counter() - self._began)
        if isinstance(event, TERMINAL):
            self.end(event.error.code if isinstance(event, Failed) else event.type)

    def end(self, how: str) -> None:
        """Counts the turn, the first time that it is called."""
        if not self._ended:
            self._ended = True
            self._turns.observe(time.perf_counter() - self._began)
            self._ends[how] += 1


@dataclass
class Metrics:
    """Turns by channel: how long they took, how long until the caller heard the first of the
    answer, and how they ended (the terminal event, an error's code, or `LEFT`). Decisions by
    outcome, turns and failures by agent, with their latencies; `spared` are turns that an agent was
    not asked to answer because it fails or has too many.
    """

    turns: defaultdict[str, Latency] = field(default_factory=lambda: defaultdict(Latency))
    firsts: defaultdict[str, Latency] = field(default_factory=lambda: defaultdict(Latency))
    ends: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    spared: Counter[str] = field(default_factory=Counter)
    decisions: Latency = field(default_factory=Latency)
    agents: defaultdict[str, Latency] = field(default_factory=lambda: defaultdict(Latency))

    @contextmanager
    def turn(self, channel: str) -> Iterator[Timing]:
        """Counts and times a turn of the channel, however it ends."""
        timing = Timing(self.turns[channel], self.firsts[channel], self.ends)
        try:
            yield timing
        except Exception as error:
            timing.end(errors.face_of(error).code)
            raise
        finally:
            timing.end(LEFT)

    def decided(self, decision: Decision, seconds: float) -> None:
        """Counts a decision."""
        self.outcomes[decision.outcome] += 1
        self.decisions.observe(seconds)

    @contextmanager
    def asking(self, agent: str) -> Iterator[Asking]:
        """Counts and times an agent's part of a turn, however it ends."""
        asking, began = Asking(), time.perf_counter()
        try:
            yield asking
        finally:
            self.agents[agent].observe(time.perf_counter() - began)
            self.failures[agent] += asking.failed
