"""How well a router does on labelled messages."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean, quantiles
from typing import Any

from lmos.model import Decision, Message
from lmos.router import figures
from lmos.router.request import Router, RoutingRequest
from lmos.router.specs import OUT_OF_SCOPE, Labelled
from lmos.router.table import RoutingTable

#: At which precision the recall of out of scope is told.
PRECISION = 0.9


@dataclass
class Report:
    """What came out: counts of (expected, chosen), the rows that went wrong, milliseconds each.
    `in_scope` has the probability that somebody is meant and whether somebody is, `confidences`
    that of the choice and whether it was right; `asked` is how many asked a language model.
    """

    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[dict[str, Any]] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    in_scope: list[figures.Scored] = field(default_factory=list)
    confidences: list[figures.Scored] = field(default_factory=list)
    asked: int = 0

    def add(self, row: Labelled, decision: Decision, milliseconds: float) -> None:
        """Counts a row with the decision that was made in that time. Choosing no agent, asking
        back included, counts as out of scope.
        """
        chosen = decision.agent or OUT_OF_SCOPE
        self.milliseconds.append(milliseconds)
        self.confusion[row.agent, chosen] += 1
        self.in_scope.append((in_scope(decision), row.agent != OUT_OF_SCOPE))
        self.confidences.append((decision.confidence, chosen == row.agent))
        self.asked += bool(decision.model)
        if chosen != row.agent:
            self.wrong.append(_wrong(row, chosen, decision))

    @property
    def rows(self) -> int:
        """How many messages there were."""
        return self.confusion.total()

    @property
    def accuracy(self) -> float:
        """The share of messages that went where they should, out of scope counted as a place."""
        right = sum(n for (expected, chosen), n in self.confusion.items() if expected == chosen)
        return right / max(self.rows, 1)

    @property
    def labels(self) -> list[str]:
        """Every label expected or chosen."""
        return sorted({label for pair in self.confusion for label in pair})

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
        """Decisions a second, one after the other."""
        seconds = sum(self.milliseconds) / 1000
        return self.rows / seconds if seconds else 0.0

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

    def data(self) -> dict[str, Any]:
        """Everything as plain data."""
        labels = {label: self.of(label) for label in self.labels}
        weighted = sum(v["f1"] * v["rows"] for v in labels.values()) / max(self.rows, 1)
        latency = quantiles(self.milliseconds, n=100) if len(self.milliseconds) > 1 else [0.0] * 99
        return {
            "rows": self.rows,
            "accuracy": round(self.accuracy, 4),
            "weightedF1": round(weighted, 4),
            "macroF1": round(mean(v["f1"] for v in labels.values()), 4) if labels else 0.0,
            "p50": round(latency[49], 2),
            "p99": round(latency[98], 2),
            **self.probabilities(),
            "modelShare": round(self.asked / max(self.rows, 1), 4),
            "decisionsPerSecond": round(self.throughput, 1),
            "labels": {k: {m: round(x, 4) for m, x in v.items()} for k, v in labels.items()},
            "confusion": [[e, c, n] for (e, c), n in sorted(self.confusion.items()) if e != c],
            "wrong": self.wrong,
        }


async def evaluate(router: Router, table: RoutingTable, rows: Sequence[Labelled]) -> Report:
    """Routes every row and compares. In a conversation the messages before and the agent that was
    chosen last go along, as they would.
    """
    report = Report()
    said: dict[str, tuple[tuple[Message, ...], str | None]] = {}
    for row in rows:
        before, active = said.get(row.conversation, ((), None)) if row.conversation else ((), None)
        messages = (*before, Message(role="user", content=row.text))
        began = time.perf_counter()
        decision = await router.decide(RoutingRequest(messages, active), table)
        report.add(row, decision, (time.perf_counter() - began) * 1000)
        said[row.conversation] = (messages, decision.agent or active)
    return report


def in_scope(decision: Decision) -> float:
    """The probability (0 to 1) that somebody is meant, however many candidates are shown."""
    return 1 - decision.out_of_scope


def _wrong(row: Labelled, chosen: str, decision: Decision) -> dict[str, Any]:
    return {
        "text": row.text,
        "expected": row.agent,
        "chosen": chosen,
        "confidence": round(decision.confidence, 2),
        "reason": decision.reason,
    }
