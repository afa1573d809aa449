"""Use cases as the original has them, and its conditions: strings in sets."""

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from typing import Literal

from lmos.model import errors

Names = Set[str]
Lines = Literal[
    "steps", "solution", "alternativeSolution", "fallbackSolution", "goal", "context", "output"
]


@dataclass(frozen=True, slots=True)
class ArcLine:
    """A line: its text without tags, the conditions on it, the tools and use cases that it names,
    and whether it ends a block. Tuples are sets in the order of the line.
    """

    text: str = ""
    conditions: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    ends: bool = False

    def wire(self) -> dict[str, object]:
        """The line as the original's JSON has it."""
        return {
            "text": self.text,
            "conditions": list(self.conditions),
            "functions": list(self.functions),
            "useCaseRefs": list(self.references),
            "endConditional": self.ends,
        }


@dataclass(slots=True)
class ArcUseCase:
    """A use case; description and examples are the text as it stands in the document."""

    id: str
    limit: int | None = None
    version: str | None = None
    conditions: tuple[str, ...] = ()
    sub: bool = False
    category: str | None = None
    description: str = ""
    examples: str = ""
    lines: dict[Lines, list[ArcLine]] = field(default_factory=dict)

    def section(self, name: Lines) -> list[ArcLine]:
        """The lines of a section, empty when it is not there."""
        return self.lines.get(name, [])

    @property
    def tools(self) -> tuple[str, ...]:
        """The tools that it names, in order."""
        named = (tool for lines in self.lines.values() for line in lines for tool in line.functions)
        return tuple(dict.fromkeys(named))

    def references(self) -> Iterator[str]:
        """What it refers to where the original looks for references."""
        for name in _REFERRING:
            for line in self.section(name):
                yield from line.references

    def wire(self) -> dict[str, object]:
        """The use case as the original's JSON has it: defaults are there, nulls are not."""

        def lines(name: Lines) -> list[dict[str, object]]:
            return [line.wire() for line in self.section(name)]

        found: dict[str, object] = {
            "id": self.id,
            "executionLimit": self.limit,
            "version": self.version,
            "description": self.description,
            "steps": lines("steps"),
            "solution": lines("solution"),
            "alternativeSolution": lines("alternativeSolution"),
            "fallbackSolution": lines("fallbackSolution"),
            "examples": self.examples,
            "conditions": list(self.conditions),
            "goal": lines("goal"),
            "subUseCase": self.sub,
            "category": self.category,
            "context": lines("context"),
            "metadata": {},
            "output": lines("output"),
        }
        return {name: value for name, value in found.items() if value is not None}


_REFERRING: tuple[Lines, ...] = ("steps", "solution", "alternativeSolution", "fallbackSolution")


def holds(conditions: tuple[str, ...], names: Names) -> bool:
    """Whether all conditions hold. `! a` with a blank always does."""
    return all(_holds(condition, names) for condition in conditions)


def _holds(condition: str, names: Names) -> bool:
    if " or " in condition:
        return any(
            part[1:].strip() not in names if part.startswith("!") else part.strip() in names
            for part in condition.split(" or ")
        )
    if condition.startswith("!"):
        return condition[1:] not in names
    return condition in names


def satisfied(conditions: tuple[str, ...], names: Names) -> int:
    """How many of the conditions hold, as the original ranks use cases of one id."""
    return sum(
        any(
            part[1:].strip() not in names if part.startswith("!") else part in names
            for part in map(str.strip, condition.split(" or "))
        )
        for condition in conditions
    )


def expressions_that_hold(conditions: Iterator[str], text: str | None) -> set[str]:
    """The conditions that are regular expressions found in the user's text. `InvalidInput` when one
    cannot be read.
    """
    if text is None:
        return set()
    patterns = {condition for condition in conditions if condition.startswith("regex:")}
    return {condition for condition in patterns if _expression(condition).search(text)}


def _expression(condition: str) -> re.Pattern[str]:
    try:
        return re.compile(condition[6:], re.IGNORECASE | re.ASCII)
    except re.error as error:
        raise errors.InvalidInput(
            f"the condition <{condition}> is no regular expression: {error}"
        ) from None
