"""The steps of a use case, told one a turn."""

from collections.abc import Sequence
from dataclasses import replace

from lmos.arc.adl import (
    Facts,
    Fence,
    Line,
    Option,
    Part,
    SectionName,
    UseCase,
    parts_that_hold,
)

Held = Line | Fence | Option


def steps_of(case: UseCase, facts: Facts) -> list[list[Held]]:
    """The steps that hold, one by one: each `-` or number opens a step, the rest belongs to the one
    before.
    """
    return _items(list(parts_that_hold(case.section("steps"), facts)))


def at_step(case: UseCase, facts: Facts, told: int) -> UseCase:
    """The use case as it stands after so many steps: the next step is its solution, or there is
    none and its solution counts.
    """
    steps = steps_of(case, facts)
    if not steps:
        return case
    sections: dict[SectionName, tuple[Part, ...]] = {
        name: parts for name, parts in case.sections.items() if name != "steps"
    }
    if told < len(steps):
        sections = {
            name: parts
            for name, parts in sections.items()
            if name not in ("alternative", "fallback")
        }
        sections["solution"] = tuple(steps[told])
    return replace(case, sections=sections)


def _items(parts: Sequence[Held]) -> list[list[Held]]:
    items: list[list[Held]] = []
    for part in parts:
        text = part.text.lstrip() if isinstance(part, Line) else " "
        if not items or text[:2] in ("- ", "* ") or text[:1].isdigit():
            items.append([part])
        elif text.strip() or not isinstance(part, Line):
            items[-1].append(part)
    return items
