"""What the runtime counts and times: whole turns by channel, and each agent's part in them.

Everything is told by the arm it belongs to, `stable` or `canary`, and agents by their version too,
so that a new version can be compared with the old one.
"""

import bisect
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from lmos.model import (
    TERMINAL,
    Answer,
    Decision,
    Failed,
    InputRequired,
    TextDelta,
    Turn,
    TurnEvent,
    errors,
)

#: Upper bounds of a latency's buckets, in seconds; what takes longer falls into one more.
BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
#: What a turn is counted as whose caller left before its end.
LEFT = "LEFT"
#: Series of one kind; what would be more is counted together, with labels `other`.
SERIES = 10_000


class Arm(NamedTuple):
    """A channel's part of the traffic."""

    tenant: str
    channel: str
    subset: str

    @classmethod
    def of(cls, turn: Turn) -> "Arm":
        """Where the turn goes."""
        return cls(turn.tenant, turn.channel, turn.subset)


class Part(NamedTuple):
    """An agent's version at work for an arm."""

    tenant: str
    channel: str
    subset: str
    agent: str
    version: str

    @classmethod
    def of(cls, turn: Turn, agent: str, version: str) -> "Part":
        """What the agent does for the turn."""
        return cls(turn.tenant, turn.channel, turn.subset, agent, version)


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
class Figures:
    """Of one arm, or of one agent's part in it: how long it took until the end and until the first
    of the answer, and how it ended: the terminal event, an error's code, or `LEFT`.
    """

    whole: Latency = field(default_factory=Latency)
    first: Latency = field(default_factory=Latency)
    ends: Counter[str] = field(default_factory=Counter)

    @property
    def failures(self) -> int:
        """How many ended in an error."""
        return sum(n for how, n in self.ends.items() if how not in _WELL)

    @contextmanager
    def timed(self) -> "Iterator[Timing]":
        """Counts and times one, however it ends."""
        timing = Timing(self)
        try:
            yield timing
        except Exception as error:
            timing.end(errors.face_of(error).code)
            raise
        finally:
            timing.end(LEFT)


#: Ends that are no failure.
_WELL = frozenset(("done", "input_required", "handover", LEFT))


@dataclass(slots=True)
class Timing:
    """One on its way, from when it began."""

    _figures: Figures
    _began: float = field(default_factory=time.perf_counter)
    _silent: bool = True
    _ended: bool = False

    def saw(self, event: TurnEvent) -> None:
        """Takes in an event that goes to the caller."""
        if self._silent and isinstance(event, TextDelta | Answer | InputRequired):
            self._silent = False
            self._figures.first.observe(time.perf_counter() - self._began)
        if isinstance(event, TERMINAL):
            self.end(event.error.code if isinstance(event, Failed) else event.type)

    def end(self, how: str) -> None:
        """Counts it, the first time that it is called."""
        if not self._ended:
            self._ended = True
            self._figures.whole.observe(time.perf_counter() - self._began)
            self._figures.ends[how] += 1


@dataclass
class Metrics:
    """Turns by arm, agents by part. `outcomes` are decisions by arm, outcome and stage, `deciding`
    how long they took, `cost` what the router's model took of them, in US dollars; `spared` are
    turns that an agent was not asked to answer because it fails or has too many. `unshared` are
    values that an agent wanted to share and that were not kept, `shadows` decisions made beside
    turns, by the shadow's name and how they came out, `people` conversations that were handed to
    people.
    """

    turns: defaultdict[Arm, Figures] = field(default_factory=lambda: defaultdict(Figures))
    agents: defaultdict[Part, Figures] = field(default_factory=lambda: defaultdict(Figures))
    outcomes: Counter[tuple[Arm, str, str]] = field(default_factory=Counter)
    deciding: Latency = field(default_factory=Latency)
    cost: float = 0.0
    spared: Counter[Part] = field(default_factory=Counter)
    unshared: Counter[str] = field(default_factory=Counter)
    shadows: Counter[tuple[str, str]] = field(default_factory=Counter)
    people: Counter[Arm] = field(default_factory=Counter)

    def turn(self, turn: Turn) -> Figures:
        """The figures of the turn's arm."""
        arm = Arm.of(turn)
        return self.turns[arm if arm in self.turns or len(self.turns) < SERIES else _OTHER]

    def part(self, part: Part) -> Figures:
        """The figures of an agent's part."""
        known = part in self.agents or len(self.agents) < SERIES
        return self.agents[part if known else _OTHER_PART]

    def to_people(self, turn: Turn) -> None:
        """Counts a conversation that is handed to people."""
        arm = Arm.of(turn)
        self.people[arm if arm in self.people or len(self.people) < SERIES else _OTHER] += 1

    def decided(self, turn: Turn, decision: Decision, seconds: float) -> None:
        """Counts a decision."""
        self.outcomes[Arm.of(turn), decision.outcome, decision.stage] += 1
        self.deciding.observe(seconds)
        self.cost += decision.cost


_OTHER = Arm("other", "other", "other")
_OTHER_PART = Part("other", "other", "other", "other", "other")
