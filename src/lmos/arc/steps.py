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

_DOING = ("steps", "solution", "alternative", "fallback")


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
    if told < len(steps):
        return saying(case, steps[told])
    rest: dict[SectionName, tuple[Part, ...]] = {
        name: parts for name, parts in case.sections.items() if name != "steps"
    }
    return replace(case, sections=rest) if steps else case


def saying(case: UseCase, parts: Sequence[Part]) -> UseCase:
    """The use case with these parts for all that it would have done."""
    sections: dict[SectionName, tuple[Part, ...]] = {
        name: kept for name, kept in case.sections.items() if name not in _DOING
    }
    return replace(case, sections={**sections, "solution": tuple(parts)})


def line_of(option: Option) -> Line:
    """An option's command as a line of its own."""
    return Line(option.command, option.number, tools=option.tools, enforced=option.enforced)


def _items(parts: Sequence[Held]) -> list[list[Held]]:
    items: list[list[Held]] = []
    for part in parts:
        text = part.text.lstrip() if isinstance(part, Line) else " "
        if not items or text[:2] in ("- ", "* ") or text[:1].isdigit():
            items.append([part])
        elif text.strip() or not isinstance(part, Line):
            items[-1].append(part)
    return items
