"""How well a router does on labelled messages.

A decision counts as what it is. Asking back is neither right nor a wrong agent: accuracy counts it
as not right, and beside it stands how often the right agent was among those offered. The same goes
for messages that were parted, and for a model that failed.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import mean, quantiles
from typing import Any

from lmos.model import Decision, Message, errors
from lmos.router import figures
from lmos.router.evidence import OFFERED
from lmos.router.request import Router, RoutingRequest
from lmos.router.specs import OUT_OF_SCOPE, Labelled
from lmos.router.table import RoutingTable

#: At which precision the recall of out of scope is told.
PRECISION = 0.9
#: What stands in the place of an agent where none was chosen, beside `out_of_scope`.
FAILED = "failed"
NO_LABELS = frozenset(("clarify", FAILED))


@dataclass
class Report:
    """What came out: counts of (expected, chosen), the rows that went wrong, milliseconds each.
    `in_scope` has the probability that somebody is meant and whether somebody is, `confidences`
    that of the outcome and whether it was right, for asking back whether the right agent was
    offered. `outcomes`, `stages` count; `asked` is how many asked a language model, for `cost` US
    dollars. `seconds` is how long all of it took.
    """

    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[dict[str, Any]] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    in_scope: list[figures.Scored] = field(default_factory=list)
    confidences: list[figures.Scored] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)
    asked: int = 0
    offered_right: int = 0
    cost: float = 0.0
    seconds: float = 0.0

    def add(self, row: Labelled, decision: Decision, milliseconds: float) -> None:
        """Counts a row with the decision that was made in that time."""
        chosen = _chosen(decision)
        offered = _offered(row, decision)
        self._count(row, chosen, milliseconds)
        self.in_scope.append((in_scope(decision), row.agent != OUT_OF_SCOPE))
        self.confidences.append((decision.confidence, chosen == row.agent or offered))
        self.outcomes[decision.outcome] += 1
        self.stages[decision.stage] += 1
        self.offered_right += offered
        self.asked += bool(decision.model)
        self.cost += decision.cost
        if chosen != row.agent:
            self.wrong.append(_wrong(row, chosen, decision.confidence, decision.reason))

    def fail(self, row: Labelled, error: errors.LmosError, milliseconds: float) -> None:
        """Counts a row that the router could not decide."""
        self._count(row, FAILED, milliseconds)
        self.outcomes[FAILED] += 1
        self.asked += 1
        self.cost += float(error.details.get("cost", 0.0))
        self.wrong.append(_wrong(row, FAILED, 0.0, error.message))

    def _count(self, row: Labelled, chosen: str, milliseconds: float) -> None:
        self.milliseconds.append(milliseconds)
        self.seconds += milliseconds / 1000
        self.confusion[row.agent, chosen] += 1

    @property
    def rows(self) -> int:
        """How many messages there were."""
        return self.confusion.total()

    @property
    def accuracy(self) -> float:
        """The share of messages that went where they should, out of scope counted as a place and
        asking back as nowhere.
        """
        right = sum(n for (expected, chosen), n in self.confusion.items() if expected == chosen)
        return right / max(self.rows, 1)

    @property
    def labels(self) -> list[str]:
        """Every label expected or chosen."""
        found = {label for pair in self.confusion for label in pair}
        return sorted(found - NO_LABELS)

    def of(self, label: str) -> dict[str, float]:
        """Precision, recall, F1 and support of a label."""
        hit = self.confusion[label, label]
        chosen = sum(n for (_, c), n in self.confusion.items() if c == label)
        expected = sum(n for (e, _), n in self.confusion.items() if e == label)
        precision = hit / chosen if chosen else 0.0
        recall = hit / expected if expected else 0.0
        both = precision + recall
        f1 = 2 * precision * recall / both if both else 0.0
        return {"precision": precision, "recall": recall, "f1": f1, "rows": expected}

    @property
    def throughput(self) -> float:
        """Decisions a second."""
        return self.rows / self.seconds if self.seconds else 0.0

    def probabilities(self) -> dict[str, float | None]:
        """How good the probabilities are; `None` where the rows cannot tell."""
        out_of_scope = [(1 - probability, not meant) for probability, meant in self.in_scope]
        found = {
            "outOfScopeAuroc": figures.auroc(out_of_scope),
            "outOfScopeRecall": figures.recall_at_precision(out_of_scope, PRECISION),
            "ece": figures.calibration_error(self.confidences),
            "brier": figures.brier(self.confidences),
        }
        return {k: None if v is None else round(v, 4) for k, v in found.items()}

    def shares(self) -> dict[str, Any]:
        """How the messages were decided, as shares of all."""
        rows = max(self.rows, 1)
        clarified = self.outcomes["clarify"]
        return {
            "clarifyShare": round(clarified / rows, 4),
            "rightOffered": round(self.offered_right / clarified, 4) if clarified else None,
            "multiShare": round(self.outcomes["multi"] / rows, 4),
            "failedShare": round(self.outcomes[FAILED] / rows, 4),
            "modelShare": round(self.asked / rows, 4),
            "cost": round(self.cost, 6),
            "stages": {k or "-": round(n / rows, 4) for k, n in self.stages.most_common()},
        }

    def data(self) -> dict[str, Any]:
        """Everything as plain data."""
        labels = {label: self.of(label) for label in self.labels}
        weighted = sum(v["f1"] * v["rows"] for v in labels.values()) / max(self.rows, 1)
        p50, p99 = _percentiles(self.milliseconds)
        return {
            "rows": self.rows,
            "accuracy": round(self.accuracy, 4),
            "weightedF1": round(weighted, 4),
            "macroF1": round(mean(v["f1"] for v in labels.values()), 4) if labels else 0.0,
            "p50": p50,
            "p99": p99,
            **self.probabilities(),
            **self.shares(),
            "decisionsPerSecond": round(self.throughput, 1),
            "labels": {k: {m: round(x, 4) for m, x in v.items()} for k, v in labels.items()},
            "confusion": [[e, c, n] for (e, c), n in sorted(self.confusion.items()) if e != c],
            "wrong": self.wrong,
        }


async def evaluate(
    router: Router, table: RoutingTable, rows: Sequence[Labelled], *, at_once: int = 1
) -> Report:
    """Routes every row and compares. In a conversation the messages before and the agent that was
    chosen last go along, as they would. With `at_once`, so many conversations go on beside each
    other: for a language model far away. A decision that fails counts as that.
    """
    report = Report()
    limit = asyncio.Semaphore(at_once)

    async def follow(conversation: Iterable[Labelled]) -> None:
        async with limit:
            await _follow(router, table, conversation, report)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for conversation in _conversations(rows):
            group.create_task(follow(conversation))
    report.seconds = time.perf_counter() - began
    return report


def in_scope(decision: Decision) -> float:
    """The probability (0 to 1) that somebody is meant, however many candidates are shown."""
    return 1 - decision.out_of_scope


async def _follow(
    router: Router, table: RoutingTable, rows: Iterable[Labelled], report: Report
) -> None:
    """The rows of one conversation, one after the other."""
    messages: tuple[Message, ...] = ()
    active: str | None = None
    for row in rows:
        messages = (*messages, Message(role="user", content=row.text))
        began = time.perf_counter()
        try:
            decision = await router.decide(RoutingRequest(messages, active), table)
        except (errors.ModelFailed, errors.DeadlineExceeded) as error:
            report.fail(row, error, (time.perf_counter() - began) * 1000)
            continue
        report.add(row, decision, (time.perf_counter() - began) * 1000)
        active = decision.agent or active


def _conversations(rows: Sequence[Labelled]) -> list[list[Labelled]]:
    """The rows by conversation; one without a conversation is one of its own."""
    found: dict[object, list[Labelled]] = defaultdict(list)
    for number, row in enumerate(rows):
        found[row.conversation or number].append(row)
    return list(found.values())


def _chosen(decision: Decision) -> str:
    """The label of what was decided. Parts for several agents are all of them, as in a label."""
    if decision.outcome == "multi":
        return ";".join(sorted({task.agent for task in decision.tasks}))
    return decision.agent or decision.outcome


def _offered(row: Labelled, decision: Decision) -> bool:
    """Whether it was asked back, with the right agent among those offered."""
    asked = decision.outcome == "clarify"
    return asked and row.agent in [c.agent for c in decision.candidates[:OFFERED]]


def _percentiles(milliseconds: Sequence[float]) -> tuple[float, float]:
    if len(milliseconds) < 2:
        return (round(sum(milliseconds), 2),) * 2
    cuts = quantiles(milliseconds, n=100, method="inclusive")
    return round(cuts[49], 2), round(cuts[98], 2)


def _wrong(row: Labelled, chosen: str, confidence: float, reason: str) -> dict[str, Any]:
    return {
        "text": row.text,
        "expected": row.agent,
        "chosen": chosen,
        "confidence": round(confidence, 2),
        "reason": reason,
    }
