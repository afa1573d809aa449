"""What an ADL document says, as frozen data with positions.

A `Document` has use cases; a use case has sections; a section has parts: lines, code fences,
options of a flow, and blocks of parts that count only under conditions. Positions count from 1 and
take no part in comparing, so two documents are equal when they say the same.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
ConditionKind = Literal["name", "step", "regex", "else", "not", "and", "or"]
Severity = Literal["error", "warning"]

#: Codes of diagnostics that do not keep a document from being used.
WARNINGS = frozenset({"condition-inside", "slow-expression", "unknown-language"})

_ESCAPED = re.compile(r"\\([\\<>@#\[\]\"{}/`-])")
TOOL = re.compile(r"(?<![\w@.\\])@([A-Za-z_][\w-]*)\(\)!?")


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that holds in a turn or does not.

    `name`: `value` is among the names that hold. `step`: the use case is at step `step`. `regex`:
    the pattern `value` is found in the user's text. `else`: no block beside it holds. `not`, `and`,
    `or`: of `parts`. `text` is the condition as it was written.
    """

    text: str = field(compare=False)
    kind: ConditionKind = "name"
    value: str = ""
    step: int = 0
    parts: "tuple[Condition, ...]" = ()
    number: int = field(default=0, compare=False)
    column: int = field(default=1, compare=False)

    def names(self) -> "Iterator[Condition]":
        """The conditions in it that are names."""
        if self.kind == "name":
            yield self
        for part in self.parts:
            yield from part.names()


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a section: its text without conditions, and what it names. A reply that is quoted
    over several lines is one line. `number` and `column` are where the text begins. `enforced` are
    those of the tools that must be called (`@tool()!`).
    """

    text: str
    number: int = field(compare=False)
    tools: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    column: int = field(default=1, compare=False)
    enforced: tuple[str, ...] = ()

    def position(self, index: int) -> tuple[int, int]:
        """Line and column of the character of the text."""
        return next(self.positions((index,)))

    def positions(self, indexes: Iterable[int]) -> Iterator[tuple[int, int]]:
        """Line and column of each of the characters, whose indexes rise."""
        number, begin, at = self.number, 0, 0
        for index in indexes:
            while (end := self.text.find("\n", at, index)) >= 0:
                number, begin, at = number + 1, end + 1, end + 1
            at = max(at, index)
            yield number, index - begin + (self.column if number == self.number else 1)

    @property
    def reply(self) -> str | None:
        """The text to be said as it is, where the whole line is quoted; None otherwise."""
        text = self.text.strip().removeprefix("- ").strip()
        for opening, closing in (('"', '"'), ("“", "”"), ("„", "“")):
            if len(text) > 1 and text.startswith(opening) and text.endswith(closing):
                return unescaped(text[1:-1])
        return None

    @property
    def plain(self) -> str:
        """The text as it is read: tools as their names, escapes resolved."""
        return unescaped(named(self.text) if self.tools else self.text)


@dataclass(frozen=True, slots=True)
class Fence:
    """A code fence: the first word behind its mark (empty for none), and the lines in it."""

    language: str
    code: str
    number: int = field(compare=False)
    column: int = field(default=1, compare=False)
    mark: str = "```"
    info: str = ""

    @property
    def text(self) -> str:
        """The fence as it is written."""
        body = f"{self.code}\n" if self.code else ""
        return f"{self.mark}{self.info}\n{body}{self.mark}"


@dataclass(frozen=True, slots=True)
class Option:
    """A choice that a user has in a flow: `[option] command`. The option is empty for the default
    (`[]`) and `else` for what is left. `reference` is the case that the command leads to, or empty.
    """

    option: str
    command: str
    number: int = field(compare=False)
    column: int = field(default=1, compare=False)
    reference: str = ""
    tools: tuple[str, ...] = ()
    enforced: tuple[str, ...] = ()

    @property
    def default(self) -> bool:
        """Whether it is taken when the user's text fits no other."""
        return not self.option

    @property
    def otherwise(self) -> bool:
        """Whether it is the last resort, `[else]`."""
        return self.option.lower() == "else"


@dataclass(frozen=True, slots=True)
class Block:
    """Parts that count only where all conditions hold. `inline` when the conditions stand before
    the text of their one line.
    """

    conditions: tuple[Condition, ...]
    parts: "tuple[Part, ...]"
    number: int = field(compare=False)
    inline: bool = field(default=False, compare=False)


Part = Line | Fence | Option | Block


@dataclass(frozen=True, slots=True)
class UseCase:
    """A use case, or with `sub` a case that flows lead to. `examples` are plain utterances,
    `example_lines` where they stand. After `execution_limit` uses its fallback counts.
    """

    id: str
    line: int = field(compare=False)
    version: str = ""
    category: str = ""
    execution_limit: int | None = None
    conditions: tuple[Condition, ...] = ()
    description: str = ""
    examples: tuple[str, ...] = ()
    sections: Mapping[SectionName, tuple[Part, ...]] = field(default_factory=dict)
    sub: bool = False
    column: int = field(default=1, compare=False)
    example_lines: tuple[int, ...] = field(default=(), compare=False)
    file: str = field(default="", compare=False)

    def section(self, name: SectionName) -> tuple[Part, ...]:
        """The parts of a section, empty when it is not there."""
        return self.sections.get(name, ())

    def lines(self) -> Iterator[Line]:
        """Every line of every section."""
        for parts in self.sections.values():
            yield from lines_of(parts)

    def parts(self) -> Iterator[Part]:
        """Every part of every section, blocks followed by what is in them."""
        for parts in self.sections.values():
            yield from parts_of(parts)

    @property
    def tools(self) -> tuple[str, ...]:
        """The tools that it names, in order."""
        return tuple(dict.fromkeys(tool for part in self.parts() for tool in tools_of(part)))


@dataclass(frozen=True, slots=True)
class Role:
    """Who the agent is while the system context's `role` is its name; without a name always."""

    name: str
    parts: tuple[Part, ...]
    line: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment, with the marks around it."""

    text: str
    line: int = field(compare=False)
    column: int = field(default=1, compare=False)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """Something wrong: where (line and column from 1), what, and how to mend it. A warning does not
    keep an agent from starting. `code` names the kind of mistake for machines; `file` is empty for
    the document itself.
    """

    line: int
    column: int
    message: str
    fix: str = ""
    code: str = ""
    severity: Severity = "error"
    file: str = ""

    def __str__(self) -> str:
        text = f"{self.line}:{self.column}: {self.message}"
        text = f"{self.file}:{text}" if self.file else text
        return f"{text}; {self.fix}" if self.fix else text


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed document, with everything that is wrong in it."""

    use_cases: tuple[UseCase, ...]
    diagnostics: tuple[Diagnostic, ...] = field(default=(), compare=False)
    roles: tuple[Role, ...] = ()
    comments: tuple[Comment, ...] = ()

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """The diagnostics that are no mere warnings."""
        return tuple(found for found in self.diagnostics if found.severity == "error")


def parts_of(parts: Sequence[Part]) -> Iterator[Part]:
    """The parts, and those inside blocks behind their block."""
    for part in parts:
        yield part
        if isinstance(part, Block):
            yield from parts_of(part.parts)


def lines_of(parts: Sequence[Part]) -> Iterator[Line]:
    """The lines of parts, those inside blocks included."""
    return (part for part in parts_of(parts) if isinstance(part, Line))


def tools_of(part: Part) -> tuple[str, ...]:
    """The tools that the part itself names."""
    return part.tools if isinstance(part, (Line, Option)) else ()


def references_of(part: Part) -> tuple[str, ...]:
    """The references of the part itself."""
    if isinstance(part, Option):
        return (part.reference,) if part.reference else ()
    return part.references if isinstance(part, Line) else ()


def named(text: str) -> str:
    """The text with `@tool()` as the tool's name."""
    return TOOL.sub(r"\1", text)


def unescaped(text: str) -> str:
    """The text without the backslashes that keep signs from having a meaning in ADL."""
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text
