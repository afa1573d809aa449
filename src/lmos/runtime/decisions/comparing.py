"""Two decisions on the same message, and what many of them differ in."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from lmos.model import Decision, DecisionRecord

#: What nobody is called, among those who should have been asked.
NOBODY = "out_of_scope"
#: Differences that are shown.
SHOWN = 50


def chosen(decision: Decision) -> str:
    """What was decided, as a word: the agent, nobody, or who was offered or asked together."""
    match decision.outcome:
        case "route":
            return decision.agent or NOBODY
        case "clarify":
            return "clarify " + "|".join(dict.fromkeys(c.agent for c in decision.candidates[:3]))
        case "multi":
            return "multi " + "+".join(task.agent for task in decision.tasks)
    return NOBODY


def same(one: Decision, other: Decision) -> bool:
    """Whether the user would have got the same: who was asked is, for parts in any order."""
    if one.outcome != other.outcome:
        return False
    if one.outcome == "multi":
        return sorted(t.agent for t in one.tasks) == sorted(t.agent for t in other.tasks)
    return one.outcome == "clarify" or one.agent == other.agent


def label_of(record: DecisionRecord) -> str:
    """Who is known to be right for the message: whom feedback names, or who was asked where it
    praises the answer; empty where nobody said.
    """
    feedback, decision = record.feedback, record.decision
    if feedback is None:
        return ""
    if feedback.agent:
        return feedback.agent
    praised = feedback.rating == 1 and decision.outcome in ("route", "out_of_scope")
    return chosen(decision) if praised else ""


@dataclass
class Comparison:
    """Decisions of the log beside others on the same messages. `right` and `right_before` count,
    of the `judged` ones, those that feedback agrees with; `failed` those that were not decided
    again, by error, and `wordless` those that could not be, for their words were not kept.
    """

    total: int = 0
    equal: int = 0
    judged: int = 0
    right: int = 0
    right_before: int = 0
    wordless: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    moved: Counter[tuple[str, str]] = field(default_factory=Counter)
    differences: list[dict[str, Any]] = field(default_factory=list)

    def add(self, record: DecisionRecord, other: Decision) -> None:
        """Compares what the record says was decided with the other decision."""
        self.total += 1
        label = label_of(record)
        if label:
            self.judged += 1
            self.right_before += chosen(record.decision) == label
            self.right += chosen(other) == label
        if same(record.decision, other):
            self.equal += 1
            return
        before, after = chosen(record.decision), chosen(other)
        self.moved[before, after] += 1
        if len(self.differences) < SHOWN:
            self.differences.append(_difference(record, other, label))

    def data(self) -> dict[str, Any]:
        """All of it as plain data."""
        share = self.equal / self.total if self.total else 0.0
        return {
            "total": self.total,
            "same": self.equal,
            "sameShare": round(share, 4),
            "judged": self.judged,
            "rightBefore": self.right_before,
            "right": self.right,
            "wordless": self.wordless,
            "failed": dict(self.failed),
            "moved": [[b, a, n] for (b, a), n in self.moved.most_common()],
            "differences": self.differences,
        }


def _difference(record: DecisionRecord, other: Decision, label: str) -> dict[str, Any]:
    return {
        "conversation": record.conversation_id,
        "turn": record.turn_id,
        "text": record.text,
        "before": chosen(record.decision),
        "confidenceBefore": round(record.decision.confidence, 2),
        "after": chosen(other),
        "confidence": round(other.confidence, 2),
        "reason": other.reason,
        **({"right": label} if label else {}),
    }
