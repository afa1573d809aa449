"""How functions of an agent steer its turn: they raise one of these.

    Break     the turn ends, with this text as its answer
    Ask       the turn ends with a question, and goes on with the user's reply
    HandOver  somebody else answers
    Retry     the turn is run again, with a reason to do better

Tools, filters, instructions and `on_fail` may raise them. None is an error, so nothing that catches
`LmosError` catches one.
"""

from collections.abc import Mapping
from typing import Any

#: What an answer is when it is not simply an answer, as `classification` in its context.
UNRESOLVED = "UNRESOLVED"
HALLUCINATION = "HALLUCINATION_DETECTED"
HACKING = "HACKING_DETECTED"


class Signal(Exception):
    """The root."""


class Break(Signal):
    """Ends the turn with the text as its answer; output filters do not see it. `classification`
    goes to the caller, `reason` to the log.
    """

    def __init__(self, text: str, *, classification: str = "", reason: str = "") -> None:
        super().__init__(reason or text)
        self.text = text
        self.classification = classification
        self.reason = reason


class Ask(Signal):
    """Ends the turn with a question. `context` goes to the caller with it."""

    def __init__(self, text: str, *, context: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.context = dict(context or {})


class HandOver(Signal):
    """Gives the turn to the agent `to`, or to whoever has the `capability`."""

    def __init__(self, to: str = "", *, capability: str = "", reason: str = "") -> None:
        super().__init__(reason or to or capability)
        self.to = to
        self.capability = capability
        self.reason = reason


class Retry(Signal):
    """Runs the turn again, at most `max` times; then it fails with the reason. Functions of the
    agent see the reason and the count as `ctx.retry`, a language model is told the reason.
    """

    def __init__(
        self, reason: str, *, max: int = 2, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.max = max
        self.details = dict(details or {})
        self.count = 0
