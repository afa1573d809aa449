"""What of a document counts in a turn: conditions over facts, and nothing else."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from lmos.arc.adl.ast import (
    Block,
    Condition,
    Fence,
    Line,
    Option,
    Part,
    Role,
    SectionName,
    UseCase,
)

#: Uses of a use case after which its fallback counts, where it has no execution limit.
FALLBACK_AFTER = 2
#: Characters of the user's text that regular expressions look at.
SEARCHED = 10_000


@dataclass(frozen=True, slots=True)
class Facts:
    """What holds in a turn: names such as `web` or `business`, the user's text, and how many times
    the use case has been used in the conversation, from 0. `used` are the ids of the use cases used
    so far, in order, where they are counted; None where nobody does. `step` is the step that the
    use case is at, from 1, where it is not one more than its uses. `role` chooses who the agent is.
    """

    names: frozenset[str] = frozenset()
    text: str = ""
    uses: int = 0
    used: tuple[str, ...] | None = None
    step: int | None = None
    role: str = ""

    def of(self, case: UseCase) -> "Facts":
        """The facts with the uses of one use case."""
        return self if self.used is None else replace(self, uses=self.used.count(case.id))

    @property
    def counted(self) -> bool:
        """Whether it is known how often use cases have been used."""
        return self.used is not None or self.uses > 0

    def holds(self, condition: Condition) -> bool:
        """Whether the condition holds by itself (`else` does not: it looks at its neighbours)."""
        match condition.kind:
            case "name":
                return condition.value in self.names
            case "step":
                return condition.step == (self.step or self.uses + 1)
            case "not":
                return not self.holds(condition.parts[0])
            case "and":
                return all(self.holds(part) for part in condition.parts)
            case "or":
                return any(self.holds(part) for part in condition.parts)
            case "regex":
                text = self.text[:SEARCHED]
                return re.search(condition.value, text, re.IGNORECASE) is not None
            case "else":
                return False


def applies(case: UseCase, facts: Facts) -> bool:
    """Whether the use case is there at all in this turn."""
    return all(facts.holds(condition) for condition in case.conditions)


def present(cases: Iterable[UseCase], facts: Facts) -> list[UseCase]:
    """The use cases that apply, without the cases of flows. Of several with one id it is the one
    with the most conditions, the first of equal ones.
    """
    best: dict[str, UseCase] = {}
    for case in cases:
        if case.sub or not applies(case, facts.of(case)):
            continue
        other = best.setdefault(case.id, case)
        if len(case.conditions) > len(other.conditions):
            best[case.id] = case
    return list(best.values())


def solution_of(case: UseCase, facts: Facts) -> SectionName:
    """The section that says what to do: the solution, its alternative once the use case has been
    used, the fallback after `execution_limit` uses.
    """
    uses = facts.of(case).uses
    limit = FALLBACK_AFTER if case.execution_limit is None else case.execution_limit
    if uses >= limit and case.section("fallback"):
        return "fallback"
    return "alternative" if uses and case.section("alternative") else "solution"


def role_of(roles: Sequence[Role], facts: Facts) -> Role | None:
    """The role that the facts name, else the one without a name."""
    by_name = {role.name: role for role in reversed(roles)}
    return by_name.get(facts.role) or by_name.get("")


def parts_that_hold(parts: Sequence[Part], facts: Facts) -> Iterator[Line | Fence | Option]:
    """The lines, fences and options whose conditions hold. `else` holds where no other block beside
    it does.
    """
    others = any(isinstance(part, Block) and _holds(part, facts) for part in parts)
    for part in parts:
        if not isinstance(part, Block):
            yield part
        elif _holds(part, facts) or (_is_else(part) and not others and _rest_holds(part, facts)):
            yield from parts_that_hold(part.parts, facts)


def lines_that_hold(parts: Sequence[Part], facts: Facts) -> Iterator[Line]:
    """The lines alone whose conditions hold."""
    return (part for part in parts_that_hold(parts, facts) if isinstance(part, Line))


def enforced_tools(case: UseCase, facts: Facts) -> tuple[str, ...]:
    """The tools that must be called in this turn of the use case, in order: those named with
    `@tool()!` in what holds of its steps and of the solution that counts.
    """
    facts = facts.of(case)
    names: dict[str, None] = {}
    sections: tuple[SectionName, ...] = ("steps", solution_of(case, facts))
    for section in sections:
        for part in parts_that_hold(case.section(section), facts):
            if isinstance(part, Line):
                names |= dict.fromkeys(part.enforced)
    return tuple(names)


def _holds(block: Block, facts: Facts) -> bool:
    return not _is_else(block) and all(facts.holds(c) for c in block.conditions)


def _is_else(block: Block) -> bool:
    return any(condition.kind == "else" for condition in block.conditions)


def _rest_holds(block: Block, facts: Facts) -> bool:
    return all(facts.holds(c) for c in block.conditions if c.kind != "else")
