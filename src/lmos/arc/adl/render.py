"""What of a document counts in a turn, and how a model reads it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lmos.arc.adl.ast import Block, Condition, Line, Part, UseCase

_STEP = re.compile(r"step_(\d+)")


@dataclass(frozen=True, slots=True)
class Facts:
    """What holds in a turn: names such as `web` or `business`, the user's text, and how many times
    the use case has been used in the conversation, from 0.
    """

    names: frozenset[str] = frozenset()
    text: str = ""
    uses: int = 0

    def holds(self, condition: Condition) -> bool:
        """Whether the condition holds by itself (`else` does not: it looks at its neighbours)."""
        if condition.kind == "regex":
            return re.search(condition.names[0], self.text, re.IGNORECASE) is not None
        if condition.kind == "else":
            return False
        return any(self._name(name) for name in condition.names)

    def _name(self, name: str) -> bool:
        if name.startswith("!"):
            return not self._name(name[1:])
        if step := _STEP.fullmatch(name):
            return int(step[1]) == self.uses + 1
        return name in self.names


def lines_that_hold(parts: Sequence[Part], facts: Facts) -> Iterator[Line]:
    """The lines whose conditions hold. `else` holds where no other block beside it does."""
    others = any(isinstance(part, Block) and _holds(part, facts) for part in parts)
    for part in parts:
        if isinstance(part, Line):
            yield part
        elif _holds(part, facts) or (_is_else(part) and not others and _rest_holds(part, facts)):
            yield from lines_that_hold(part.parts, facts)


def applies(case: UseCase, facts: Facts) -> bool:
    """Whether the use case is there at all in this turn."""
    return all(facts.holds(condition) for condition in case.conditions)


def rendered(cases: Sequence[UseCase], facts: Facts) -> str:
    """The use cases that apply, as Markdown for a model, with only the lines that hold."""
    return "\n\n".join(_rendered(case, facts) for case in cases if applies(case, facts))


def _rendered(case: UseCase, facts: Facts) -> str:
    out = [f"### UseCase: {case.id}", "#### Description", case.description]
    for title, name in (("Goal", "goal"), ("Steps", "steps"), ("Solution", "solution"),
                        ("Fallback Solution", "fallback"), ("Context", "context")):  # fmt: skip
        lines = [_text(line) for line in lines_that_hold(case.section(name), facts)]  # type: ignore[arg-type]
        if any(lines):
            out += [f"#### {title}", *lines]
    if case.examples:
        out += ["#### Examples", *(f"- {example}" for example in case.examples[:4])]
    return "\n".join(out)


def _text(line: Line) -> str:
    """The line with tools as plain names."""
    if not line.tools:
        return line.text
    return re.sub(r"@([A-Za-z_][\w-]*)\(\)!?", r"\1", line.text)


def _holds(block: Block, facts: Facts) -> bool:
    return not _is_else(block) and all(facts.holds(c) for c in block.conditions)


def _is_else(block: Block) -> bool:
    return any(condition.kind == "else" for condition in block.conditions)


def _rest_holds(block: Block, facts: Facts) -> bool:
    return all(facts.holds(c) for c in block.conditions if c.kind != "else")
