"""What the runtime counts."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from lmos.model import Decision


@dataclass
class Metrics:
    """Turns by agent and outcome, with the seconds they took together."""

    outcomes: Counter[str] = field(default_factory=Counter)
    turns: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    agent_seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    decision_seconds: float = 0.0

    def decided(self, decision: Decision, seconds: float) -> None:
        """Counts a decision."""
        self.outcomes[decision.outcome] += 1
        self.decision_seconds += seconds

    def asked(self, agent: str, seconds: float, *, failed: bool) -> None:
        """Counts an agent's part of a turn."""
        self.turns[agent] += 1
        self.failures[agent] += failed
        self.agent_seconds[agent] += seconds
