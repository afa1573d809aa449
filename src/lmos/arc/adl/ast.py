"""What an ADL document says, as frozen data with positions."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

SectionName = Literal[
    "goal",
    "description",
    "steps",
    "solution",
    "alternative",
    "fallback",
    "examples",
    "context",
    "output",
]


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: any of the names (`!name` negated), a regular expression over the user's text,
    or `else`.
    """

    text: str
    kind: Literal["names", "regex", "else"] = "names"
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a section: its text without conditions, and what it names. A reply that is quoted
    over several lines is one line. `number` and `column`, from 1, are where the text begins.
    """

    text: str
    number: int
    tools: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    column: int = 1

    def position(self, index: int) -> tuple[int, int]:
        """Line and column of the character of the text."""
        before = self.text[:index].rpartition("\n")
        first = not before[1]
        return self.number + self.text.count("\n", 0, index), len(before[2]) + (
            self.column if first else 1
        )

    @property
    def reply(self) -> str | None:
        """The text to be said as it is, where the whole line is quoted; None otherwise."""
        text = self.text.strip().removeprefix("- ").strip()
        for opening, closing in (('"', '"'), ("“", "”"), ("„", "“")):
            if len(text) > 1 and text.startswith(opening) and text.endswith(closing):
                return text[1:-1]
        return None


@dataclass(frozen=True, slots=True)
class Block:
    """Parts that count only where all conditions hold."""

    conditions: tuple[Condition, ...]
    parts: "tuple[Line | Block, ...]"
    number: int


Part = Line | Block


@dataclass(frozen=True, slots=True)
class UseCase:
    """A use case. `line` counts from 1; `examples` are plain utterances."""

    id: str
    line: int
    version: str = ""
    category: str = ""
    execution_limit: int | None = None
    conditions: tuple[Condition, ...] = ()
    description: str = ""
    examples: tuple[str, ...] = ()
    sections: "dict[SectionName, tuple[Part, ...]]" = field(default_factory=dict)

    def section(self, name: SectionName) -> tuple[Part, ...]:
        """The parts of a section, empty when it is not there."""
        return self.sections.get(name, ())

    def lines(self) -> Iterator[Line]:
        """Every line of every section."""
        for parts in self.sections.values():
            yield from lines_of(parts)

    @property
    def tools(self) -> tuple[str, ...]:
        """The tools that it names, in order."""
        return tuple(dict.fromkeys(tool for line in self.lines() for tool in line.tools))


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """Something wrong: where (line and column from 1), what, and how to mend it."""

    line: int
    column: int
    message: str
    fix: str = ""

    def __str__(self) -> str:
        text = f"{self.line}:{self.column}: {self.message}"
        return f"{text}; {self.fix}" if self.fix else text


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed document, with everything that is wrong in it."""

    use_cases: tuple[UseCase, ...]
    diagnostics: tuple[Diagnostic, ...] = ()


def lines_of(parts: tuple[Part, ...]) -> Iterator[Line]:
    """The lines of parts, those inside blocks included."""
    for part in parts:
        if isinstance(part, Line):
            yield part
        else:
            yield from lines_of(part.parts)
