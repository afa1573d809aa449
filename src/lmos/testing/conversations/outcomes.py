"""What came of conversations, as frozen data with marks from 0 to 100."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from lmos.testing.conversations.format import Check, Conversation

Verdict = Literal["pass", "partial", "fail"]


@dataclass(frozen=True)
class Thresholds:
    """Marks from which a test passes, or passes in part."""

    passing: float = 90.0
    partial: float = 60.0

    def verdict(self, score: float) -> Verdict:
        """What a mark means."""
        if score >= self.passing:
            return "pass"
        return "partial" if score >= self.partial else "fail"


@dataclass(frozen=True)
class Checked:
    """A check and what came of it. `score` is None when it could not be made; `found` says what
    was there.
    """

    check: Check
    score: float | None
    found: str = ""


@dataclass(frozen=True)
class Exchange:
    """A message of the user and the answer, or the `error` instead of one."""

    said: str
    answer: str = ""
    use_case: str = ""
    calls: tuple[str, ...] = ()
    checks: tuple[Checked, ...] = ()
    error: str = ""
    milliseconds: float = 0.0

    @property
    def score(self) -> float:
        """The lowest mark of its checks."""
        if self.error:
            return 0.0
        return min((c.score for c in self.checks if c.score is not None), default=100.0)


@dataclass(frozen=True)
class Variant:
    """The conversation had in one way."""

    number: int
    exchanges: tuple[Exchange, ...]

    @property
    def score(self) -> float:
        """The lowest mark of its exchanges."""
        return min((exchange.score for exchange in self.exchanges), default=100.0)


@dataclass(frozen=True)
class Outcome:
    """A test, which is as good as its worst variant."""

    test: Conversation
    variants: tuple[Variant, ...]
    verdict: Verdict

    @property
    def worst(self) -> Variant:
        """The variant that counts."""
        return min(self.variants, key=lambda variant: variant.score)

    @property
    def score(self) -> float:
        """The mark of the worst variant."""
        return self.worst.score

    @property
    def milliseconds(self) -> float:
        """What all variants took."""
        return sum(e.milliseconds for v in self.variants for e in v.exchanges)

    @property
    def not_made(self) -> int:
        """How many checks could not be made."""
        checks = (c for v in self.variants for e in v.exchanges for c in e.checks)
        return sum(checked.score is None for checked in checks)

    def told(self, least: float = 90.0) -> str:
        """The worst variant, with what was not as expected; checks from `least` on are left out."""
        lines = [f"{self.test.file}:{self.test.line}: {self.test.name}: {self.score:.0f} of 100"]
        for exchange in self.worst.exchanges:
            lines.append(f"  > {exchange.said}")
            if exchange.error:
                lines.append(f"    error: {exchange.error}")
                continue
            lines += [f"    {line}" for line in exchange.answer.splitlines()]
            for checked in exchange.checks:
                if checked.score is not None and checked.score < least:
                    place = f"{self.test.file.name}:{checked.check.line}"
                    lines.append(f"    x {checked.check}  ({place})")
                    lines.append(f"      {checked.found}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Report:
    """All tests of a run."""

    outcomes: tuple[Outcome, ...]
    agent: str
    version: str
    model: str
    judge: str
    began: datetime
    seconds: float
    thresholds: Thresholds = field(default_factory=Thresholds)

    @property
    def counts(self) -> Mapping[Verdict, int]:
        """How many tests by verdict."""
        found: dict[Verdict, int] = {"pass": 0, "partial": 0, "fail": 0}
        for outcome in self.outcomes:
            found[outcome.verdict] += 1
        return found

    @property
    def not_made(self) -> int:
        """How many checks could not be made."""
        return sum(outcome.not_made for outcome in self.outcomes)
