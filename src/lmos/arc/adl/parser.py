"""Reading ADL: Markdown headings that open use cases, cases, roles and sections.

`source` cuts the text into lines once, `sections` reads the lines of a section, `conditions` what
stands between `<` and `>`. Every mistake is collected with its position, none ends the reading; it
takes time in proportion to the text, whatever the text is.
"""

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from lmos.arc.adl.ast import (
    WARNINGS,
    Condition,
    Diagnostic,
    Document,
    Part,
    Role,
    SectionName,
    Severity,
    UseCase,
)
from lmos.arc.adl.checks import check_examples, check_ids
from lmos.arc.adl.conditions import read_conditions
from lmos.arc.adl.meant import Meant
from lmos.arc.adl.sections import read_parts
from lmos.arc.adl.source import Source, SourceLine

HEADING = re.compile(r"\s*#{1,6}(?P<blank>\s*)(?P<word>[^:]*)(?::(?P<rest>.*))?")
SECTIONS: dict[str, SectionName] = {
    "goal": "goal",
    "description": "description",
    "steps": "steps",
    "step": "steps",
    "solution": "solution",
    "alternative solution": "alternative",
    "alternative": "alternative",
    "fallback solution": "fallback",
    "fallback": "fallback",
    "examples": "examples",
    "example": "examples",
    "context": "context",
    "output": "output",
}
USE_CASE = ("usecase", "use case", "skill")
#: Characters of a document that the garbage collector stays away from.
LARGE = 200_000
_OTHERS = ("case", "category", "role")
_NO_COLON = re.compile(r"(?:use ?case|skill|case)\s+\S+", re.IGNORECASE)
HEADER = re.compile(  # over text with single blanks
    r"(?P<id>[^\s(<]+) ?(?:\((?P<limit>\d*)\))? ?(?P<conditions>(?:<[^<>]*> ?)*)$"
)
BULLET = re.compile(r"\s*(?:[-*+](?:\s+|$)|-(?=[^-\s]))?")
VERSION = re.compile(r"<version:([^<>]*)>", re.IGNORECASE)
END = re.compile(r"-{4,}\s*$")


@dataclass(slots=True)
class _Section:
    """A section being read: where its heading is, its lines, and whether it may be empty."""

    line: int
    column: int
    lines: list[SourceLine] = field(default_factory=list)
    may_be_empty: bool = False


@dataclass(slots=True)
class _Open:
    """A use case being read."""

    id: str
    line: int
    column: int
    version: str
    sub: bool = False
    limit: int | None = None
    conditions: tuple[Condition, ...] = ()
    category: str = ""
    sections: list[tuple[SectionName, _Section]] = field(default_factory=list)


@dataclass(slots=True)
class _Role:
    """A role being read."""

    name: str
    section: _Section


def parse(text: str, file: str = "") -> Document:
    """The document that the text writes, with a diagnostic for everything that is wrong. `file` is
    the name that its use cases carry.
    """
    with _uncollected(len(text) > LARGE):
        return _Parser(text, file).document()


@contextmanager
def _uncollected(large: bool) -> Iterator[None]:
    """Keeps the garbage collector from walking again and again through a tree that only grows."""
    pause = large and gc.isenabled()
    if pause:
        gc.disable()
    try:
        yield
    finally:
        if pause:
            gc.enable()


class _Parser:
    def __init__(self, text: str, file: str) -> None:
        self._source = Source(text)
        self._file = file
        self._diagnostics: list[Diagnostic] = []
        self._cases: list[UseCase] = []
        self._roles: list[_Role] = []
        self._known = Meant([*SECTIONS, *USE_CASE, *_OTHERS])
        self._version = ""
        self._case: _Open | None = None
        self._section: _Section | None = None

    def document(self) -> Document:
        ended = says = False
        for line in self._source:
            text = line.text
            begin = text.lstrip()[:1] if line.kind == "text" else ""
            says = says or bool(begin)
            if begin == "<" and (found := VERSION.fullmatch(text.strip())):
                self._set_version(found[1].strip())
            elif begin == "#" and (heading := heading_of(text)):
                self._heading(heading, line.number)
                ended = False
            elif begin == "-" and END.match(text):
                self._section, ended = None, True
            elif self._section is not None:
                self._section.lines.append(line)
            elif self._case is not None and begin and not ended:
                fix = "put it below a heading"
                self._say(line.number, 1, "text outside a section", fix, "text-outside")
        self._close()
        return self._document(says)

    def _document(self, says: bool) -> Document:
        """What has been read, checked; `says` whether there was anything at all."""
        cases = tuple(self._cases)
        roles = tuple(self._role(role) for role in self._roles)
        if says and not cases and not roles:
            fix = "begin one with: ### UseCase: my_use_case"
            self._say(1, 1, "there is no use case", fix, "no-use-case")
        self._diagnostics += [
            *self._source.diagnostics,
            *check_ids(cases),
            *check_examples(cases),
        ]
        diagnostics = tuple(sorted(self._diagnostics, key=lambda d: (d.line, d.column)))
        return Document(cases, diagnostics, roles, tuple(self._source.comments))

    # --- headings ---------------------------------------------------------------------------------

    def _heading(self, heading: re.Match[str], number: int) -> None:
        title, rest = heading["word"].strip(), heading["rest"] or ""
        word, column = title.lower(), heading.start("word") + 1
        if word in USE_CASE or word == "case":
            start = heading.start("rest") + 1 + len(rest) - len(rest.lstrip())
            self._open(rest, number, start if rest.strip() else column, word == "case")
        elif word == "role":
            self._section = _Section(number, column)
            self._roles.append(_Role(rest.strip(), self._section))
            self._close()
        elif _NO_COLON.fullmatch(word):
            fix = f"write it as: ### {title.split()[0]}: {title.split()[-1]}"
            self._say(number, column, "a colon is missing", fix, "heading")
            self._section = None if self._case is None else _Section(number, column)
        elif self._case is None:
            self._section = None  # a title of the document
        elif word == "category":
            self._category(rest.strip(), number, column)
        elif word in SECTIONS:
            self._section = _Section(number, column)
            self._case.sections.append((SECTIONS[word], self._section))
            if rest.strip():
                fix = "put it into the line below"
                self._section.may_be_empty = True
                place = heading.start("rest") + 1 + len(rest) - len(rest.lstrip())
                self._say(number, place, "text behind a heading is not read", fix, "heading-text")
        else:
            fix = self._section_meant(word)
            self._say(number, column, f"unknown section {title!r}", fix, "unknown-section")
            self._section = _Section(number, column)

    def _section_meant(self, word: str) -> str:
        near = self._known.near(word)
        known = "Description, Steps, Solution, Alternative Solution, Fallback Solution, Examples"
        return f"did you mean {near.title()}?" if near else f"sections are {known}, Goal, Context"

    def _open(self, header: str, number: int, column: int, sub: bool) -> None:
        """A use case begins, or with `sub` a case, whose text is its solution."""
        case = self._header(header, number, column)
        case.sub = sub
        self._close()
        self._case, self._section = case, None
        if sub:
            self._section = _Section(number, column)
            case.sections.append(("solution", self._section))

    def _header(self, header: str, number: int, column: int) -> _Open:
        header = " ".join(header.split())
        found = HEADER.match(header)
        if found is None:
            fix = "write it as: ### UseCase: my_use_case"
            self._say(number, column, f"{header[:80]!r} is no id of a use case", fix, "id")
            return _Open(header, number, column, self._version)
        conditions: list[Condition] = []
        for group in re.finditer(r"<([^<>]*)>", found["conditions"]):
            place = column + found.start("conditions") + group.start(1)
            conditions += read_conditions(group[1], number, place, partial(self._say, number))
        limit = int(found["limit"][:9]) if found["limit"] else None
        case = _Open(found["id"], number, column, self._version)
        case.limit, case.conditions = limit, tuple(conditions)
        return case

    def _category(self, category: str, number: int, column: int) -> None:
        assert self._case is not None
        self._case.category = category
        self._section = None
        if not category:
            fix = "write it as: #### Category: billing"
            self._say(number, column, "the category is empty", fix, "category")

    def _set_version(self, version: str) -> None:
        """Before the first use case the version is everybody's, inside one it is its own."""
        if self._case is None:
            self._version = version
        else:
            self._case.version = version

    # --- sections ---------------------------------------------------------------------------------

    def _close(self) -> None:
        """The use case that is open is finished."""
        if self._case is not None:
            self._cases.append(self._finished(self._case))
            self._case = None

    def _finished(self, case: _Open) -> UseCase:
        description: list[str] = []
        examples: dict[str, int] = {}
        parts: dict[SectionName, list[Part]] = {}
        for name, section in case.sections:
            self._check_section(section)
            if name == "description":
                description.append(_plain_text(section.lines))
            elif name == "examples":
                for text, number in _examples(section.lines):
                    examples.setdefault(text, number)
            else:
                parts.setdefault(name, []).extend(read_parts(section.lines, self._say))
        self._check_case(case)
        return UseCase(
            id=case.id,
            line=case.line,
            version=case.version,
            category=case.category,
            execution_limit=case.limit,
            conditions=case.conditions,
            description="\n".join(filter(None, description)),
            examples=tuple(examples),
            sections={name: tuple(found) for name, found in parts.items()},
            sub=case.sub,
            column=case.column,
            example_lines=tuple(examples.values()),
            file=self._file,
        )

    def _role(self, role: _Role) -> Role:
        return Role(role.name, read_parts(role.section.lines, self._say), role.section.line)

    def _check_case(self, case: _Open) -> None:
        there = {name for name, _ in case.sections}
        what = f"use case {case.id}" if case.id else "the use case"
        if "description" not in there and not case.sub:
            message = f"{what} has no Description"
            self._say(case.line, 1, message, "say when it applies", "no-description")
        if "solution" not in there:
            message = f"{what} has no Solution"
            self._say(case.line, 1, message, "say what to do", "no-solution")

    def _check_section(self, section: _Section) -> None:
        if not section.may_be_empty and not any(line.text.strip() for line in section.lines):
            fix = "say something below it, or remove the heading"
            self._say(section.line, section.column, "the section is empty", fix, "empty-section")

    def _say(self, line: int, column: int, message: str, fix: str, code: str) -> None:
        severity: Severity = "warning" if code in WARNINGS else "error"
        self._diagnostics.append(Diagnostic(line, column, message, fix, code, severity))


def heading_of(text: str) -> re.Match[str] | None:
    """The line as a heading. `#reference` begins with a hash as well, and is none."""
    found = HEADING.match(text)
    word = found["word"].strip() if found else ""
    if found and word and (found["blank"] or word.lower() in (*SECTIONS, *USE_CASE, *_OTHERS)):
        return found
    return None


def _plain_text(lines: list[SourceLine]) -> str:
    """The lines as text, fences as they are, with one empty line at most between others."""
    found: list[str] = []
    for line in lines:
        text = line.text if line.fenced else line.text.strip()
        if text or line.fenced or (found and found[-1]):
            found.append(text)
    return "\n".join(found).strip()


def _examples(lines: list[SourceLine]) -> Iterator[tuple[str, int]]:
    for line in lines:
        if text := without_bullet(line.text):
            yield text, line.number


def without_bullet(text: str) -> str:
    """An example without the bullet before it."""
    if text.startswith("- "):
        return text[2:].strip()
    return text[BULLET.match(text).end() :].strip()  # type: ignore[union-attr]
