"""Making checks: exact ones give 0 or 100, likeness and judged ones what lies between."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lmos.model import errors
from lmos.testing.asking import Answered
from lmos.testing.conversations.format import Check
from lmos.testing.conversations.judging import Judge
from lmos.testing.conversations.outcomes import Checked, Thresholds

if TYPE_CHECKING:
    from lmos.model import Embedder


@dataclass(frozen=True)
class Checker:
    """Makes checks on answers. Without a `judge`, judged checks are not made."""

    embedder: "Embedder"
    judge: Judge | None = None
    thresholds: Thresholds = field(default_factory=Thresholds)

    async def make(
        self, check: Check, answer: Answered, said: Sequence[tuple[str, str]]
    ) -> Checked:
        """What comes of a check; `said` is the conversation so far, its last pair this one."""
        match check.kind:
            case "means":
                return await self._means(check, answer)
            case "judge":
                return await self._judged(check, said)
        holds, found = _exact(check, answer)
        return Checked(check, 100.0 if holds else 0.0, found)

    async def _means(self, check: Check, answer: Answered) -> Checked:
        """The cosine of the two texts' vectors."""
        one, other = await self.embedder.embed([check.text, answer.text])
        likeness = float(one @ other)
        return Checked(check, self._mark(likeness, check.least), f"likeness {likeness:.2f}")

    async def _judged(self, check: Check, said: Sequence[tuple[str, str]]) -> Checked:
        if self.judge is None:
            return Checked(check, None, "not judged; name a model with --judge")
        try:
            opinion = await self.judge.opinion(check.text, said)
        except errors.ModelFailed as error:
            return Checked(check, None, error.message)
        found = f"{opinion.score:.2f}: {opinion.reason}" if opinion.reason else f"{opinion.score}"
        return Checked(check, self._mark(opinion.score, check.least), found)

    def _mark(self, value: float, least: float | None) -> float:
        """A value from 0 to 1 as a mark: what is just enough is the mark that just passes."""
        passing = self.thresholds.passing
        enough = passing / 100 if least is None else least
        value = min(max(value, 0.0), 1.0)
        if value >= enough:
            return passing + (100 - passing) * (value - enough) / max(1 - enough, 1e-9)
        return passing * value / enough


def _exact(check: Check, answer: Answered) -> tuple[bool, str]:
    """Whether the check holds, and what was found."""
    text, wanted = _plain(answer.text), _plain(check.text)
    match check.kind:
        case "use case":
            allowed = [name.strip() for name in re.split(r"\bor\b|\||,", check.text)]
            return answer.use_case in allowed, f"use case {answer.use_case or 'none'}"
        case "calls":
            found = answer.called(check.text, **check.arguments)
            return bool(found), _calls(answer)
        case "never calls":
            if check.text in ("anything", "nothing"):
                return not answer.calls, _calls(answer)
            return not answer.called(check.text, **check.arguments), _calls(answer)
        case "says":
            return wanted in text, f"said: {answer.text}"
        case "never says":
            return wanted not in text, f"said: {answer.text}"
        case "exactly":
            return answer.text.strip() == check.text.replace("\\n", "\n").strip(), (
                f"said: {answer.text}"
            )
        case "matches":
            return re.search(check.text, answer.text) is not None, f"said: {answer.text}"
        case "asks":
            return answer.question is _yes(check), "asks" if answer.question else "does not ask"
        case "resolved":
            said = "cannot help" if answer.unresolved else "helps"
            return (not answer.unresolved) is _yes(check), said
        case "hands over to":
            return answer.handover == check.text, f"hands over to {answer.handover or 'nobody'}"
    key, _, value = (part.strip() for part in check.text.partition("="))
    return answer.context.get(key) == value, f"{key} = {answer.context.get(key)}"


def _plain(text: str) -> str:
    """The text as it is compared: without differences of case and white space."""
    return re.sub(r"\s+", " ", text).strip().casefold()


def _calls(answer: Answered) -> str:
    return "called: " + (", ".join(calls_of(answer)) or "nothing")


def calls_of(answer: Answered) -> list[str]:
    """The calls as Python writes them."""
    return [
        f"{call.name}({', '.join(f'{k}={v!r}' for k, v in call.arguments.items())})"
        for call in answer.calls
    ]


def _yes(check: Check) -> bool:
    return check.text.lower() == "yes"
