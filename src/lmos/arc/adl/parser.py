"""Reading ADL: Markdown headings, sections, and lines with conditions.

The text is cut into lines once; comments vanish, code fences are taken as they are. Headings open
use cases and sections. A condition before a line's text (`<web>Use links.`) counts for that line;
alone on its line it opens a block up to `</>`. Every mistake is collected with its position, none
ends the reading.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from lmos.arc.adl.ast import (
    Block,
    Condition,
    Diagnostic,
    Document,
    Line,
    Part,
    SectionName,
    UseCase,
)

_HEADING = re.compile(r"\s*(#{1,6})\s*([^:]+?)\s*(?::\s*(.*))?$")
_SECTIONS: dict[str, SectionName] = {
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
_USE_CASE = ("usecase", "use case", "skill")
_HEADER = re.compile(
    r"(?P<id>[^\s(<]+)\s*(?:\((?P<limit>\d*)\))?\s*(?P<conditions>(?:<[^<>]*>\s*)*)$"
)
_VERSION = re.compile(r"^\s*<version:\s*([^<>]+?)\s*>\s*$", re.IGNORECASE)
_CONDITION = re.compile(r"\s*(?:-\s+)?<((?:regex:(?:\\.|[^\\>])*|[!\w][\w!,\- ]*))>", re.IGNORECASE)
_TOOL = re.compile(r"(?<![\w@.])@([A-Za-z_][\w-]*)\(\)!?")
_TOOL_WITH_ARGUMENTS = re.compile(r"(?<![\w@.])@([A-Za-z_][\w-]*)\([^)\s][^)]*\)")
_REFERENCE = re.compile(r"(?<!\w)#([A-Za-z][\w/-]*)(?=[\s.,;:!?)]|$)")
_FENCE = re.compile(r"\s*(```|~~~)")
_END = re.compile(r"-{4,}\s*$")


@dataclass(frozen=True, slots=True)
class _Text:
    """A line of a section; one of a code fence is taken as it is."""

    number: int
    text: str
    fenced: bool = False


@dataclass
class _Open:
    """A use case being read."""

    id: str
    line: int
    version: str
    limit: int | None = None
    conditions: tuple[Condition, ...] = ()
    category: str = ""
    sections: dict[SectionName, list[_Text]] = field(default_factory=dict)


def parse(text: str) -> Document:
    """The document that the text writes, with a diagnostic for everything that is wrong."""
    return _Parser(text).document()


class _Parser:
    def __init__(self, text: str) -> None:
        self._lines = list(_significant(text))
        self._diagnostics: list[Diagnostic] = []
        self._done: list[_Open] = []
        self._version = ""

    def document(self) -> Document:
        case: _Open | None = None
        section: list[_Text] | None = None
        ended = False
        for number, line, fenced in self._lines:
            if fenced:
                if section is not None:
                    section.append(_Text(number, line, fenced=True))
            elif found := _VERSION.match(line):
                self._set_version(found[1], case)
            elif line.lstrip().startswith("#") and (heading := _HEADING.match(line)):
                case, section = self._heading(heading, number, case)
                ended = False
            elif _END.match(line):
                section, ended = None, True
            elif section is not None:
                section.append(_Text(number, line))
            elif case is not None and line.strip() and not ended:
                self._say(number, 1, "text outside a section", "put it below a heading")
        cases = tuple(self._finished(open_) for open_ in self._done)
        self._check_ids(cases)
        return Document(cases, tuple(sorted(self._diagnostics, key=lambda d: (d.line, d.column))))

    # --- headings ---------------------------------------------------------------------------------

    def _heading(
        self, heading: re.Match[str], number: int, case: _Open | None
    ) -> tuple[_Open | None, list[_Text] | None]:
        word, rest = heading[2].lower(), heading[3]
        column = heading.start(2) + 1
        if word in _USE_CASE:
            case = self._case(rest or "", number, heading.start(3) + 1 if rest else column)
            self._done.append(case)
            return case, None
        if case is None:
            return None, None  # a title of the document
        if word == "category":
            case.category = (rest or "").strip()
            return case, None
        if word in _SECTIONS:
            return case, case.sections.setdefault(_SECTIONS[word], [])
        near = difflib.get_close_matches(word, [*_SECTIONS, *_USE_CASE], 1)
        known = "Description, Steps, Solution, Alternative Solution, Fallback Solution, Examples"
        fix = f"did you mean {near[0].title()}?" if near else f"sections are {known}, Goal, Context"
        self._say(number, column, f"unknown section {heading[2]!r}", fix)
        return case, []

    def _case(self, header: str, number: int, column: int) -> _Open:
        found = _HEADER.match(header.strip())
        if found is None:
            fix = "write it as: ### UseCase: my_use_case"
            self._say(number, column, f"{header.strip()!r} is no id of a use case", fix)
            return _Open(header.strip() or f"line_{number}", number, self._version)
        conditions = [c for group in re.findall(r"<([^<>]*)>", found["conditions"])
                      for c in self._conditions(group, number, column)]  # fmt: skip
        limit = int(found["limit"]) if found["limit"] else None
        return _Open(found["id"], number, self._version, limit, tuple(conditions))

    def _set_version(self, version: str, case: _Open | None) -> None:
        """Before the first use case the version is everybody's, inside one it is its own."""
        if case is None:
            self._version = version
        else:
            case.version = version

    # --- sections ---------------------------------------------------------------------------------

    def _finished(self, case: _Open) -> UseCase:
        sections: dict[SectionName, tuple[Part, ...]] = {}
        description = ""
        examples: tuple[str, ...] = ()
        for name, lines in case.sections.items():
            if name == "description":
                description = "\n".join(line.text.strip() for line in lines).strip()
            elif name == "examples":
                examples = tuple(
                    line.text.strip().lstrip("-*").strip() for line in lines if line.text.strip()
                )
            else:
                sections[name] = self._parts(lines)
        if not description:
            self._say(case.line, 1, f"use case {case.id} has no Description", "say when it applies")
        if "solution" not in sections:
            self._say(case.line, 1, f"use case {case.id} has no Solution", "say what to do")
        return UseCase(
            id=case.id,
            line=case.line,
            version=case.version,
            category=case.category,
            execution_limit=case.limit,
            conditions=case.conditions,
            description=description,
            examples=tuple(dict.fromkeys(examples)),
            sections=sections,
        )

    def _parts(self, lines: list[_Text]) -> tuple[Part, ...]:
        """Lines and blocks, nested as `<condition>` and `</>` say."""
        top: list[Part] = []
        stack: list[tuple[tuple[Condition, ...], list[Part], int]] = []
        for number, raw, fenced in ((line.number, line.text, line.fenced) for line in lines):
            into = stack[-1][1] if stack else top
            if fenced:
                into.append(Line(raw.rstrip(), number))
                continue
            conditions, text = self._leading(raw, number)
            text, closes = (text.replace("</>", ""), text.count("</>"))
            if conditions and not text.strip() and not closes:
                stack.append((conditions, [], number))
                continue
            if text.strip() or not closes:
                line = self._line(text, number)
                into.append(Block(conditions, (line,), number) if conditions else line)
            for _ in range(closes):
                if not stack:
                    self._say(number, raw.find("</>") + 1, "</> closes nothing", "remove it")
                    break
                self._close(stack, top)
        while stack:
            fix = "end it with </> or put the condition before its line"
            self._say(stack[-1][2], 1, "the block is never closed", fix)
            self._close(stack, top)
        return tuple(_trimmed(top))

    def _close(
        self, stack: list[tuple[tuple[Condition, ...], list[Part], int]], top: list[Part]
    ) -> None:
        conditions, parts, number = stack.pop()
        (stack[-1][1] if stack else top).append(Block(conditions, tuple(parts), number))

    def _leading(self, raw: str, number: int) -> tuple[tuple[Condition, ...], str]:
        """The conditions before a line's text, and the text."""
        found: list[Condition] = []
        text = raw
        while match := _CONDITION.match(text):
            bullet = "- " if match[0].lstrip().startswith("- ") else ""
            found += self._conditions(match[1], number, match.start(1) + 1)
            text = bullet + text[match.end() :].lstrip()
        return tuple(found), text

    def _conditions(self, group: str, number: int, column: int) -> Iterator[Condition]:
        """`a,b` are two that must both hold; a regular expression is one, commas and all."""
        if group.lower().startswith("regex:"):
            try:
                re.compile(group[6:])
            except re.error as error:
                self._say(number, column, f"the regular expression is wrong: {error}", "")
                return
            yield Condition(group, "regex", (group[6:],))
            return
        for text in filter(None, (part.strip() for part in group.split(","))):
            if text == "else":
                yield Condition(text, "else")
            else:
                names = tuple(n.replace("! ", "!").strip() for n in text.split(" or "))
                yield Condition(text, "names", names)

    def _line(self, text: str, number: int) -> Line:
        for found in _TOOL_WITH_ARGUMENTS.finditer(text):
            fix = f"write @{found[1]}(); arguments come from its parameters"
            self._say(number, found.start() + 1, "a tool is named without arguments", fix)
        return Line(
            text=text.rstrip(),
            number=number,
            tools=tuple(found[1] for found in _TOOL.finditer(text)),
            references=tuple(found[1] for found in _REFERENCE.finditer(text)),
        )

    # --- checks -----------------------------------------------------------------------------------

    def _check_ids(self, cases: tuple[UseCase, ...]) -> None:
        first: dict[str, UseCase] = {}
        for case in cases:
            before = first.setdefault(case.id, case)
            if before is not case and not (before.conditions and case.conditions):
                fix = "rename one, or give both conditions"
                message = f"use case {case.id} is already in line {before.line}"
                self._say(case.line, 1, message, fix)

    def _say(self, line: int, column: int, message: str, fix: str) -> None:
        self._diagnostics.append(Diagnostic(line, column, message, fix))


def check_tools(document: Document, known: Iterable[str]) -> list[Diagnostic]:
    """A diagnostic for every tool that the document names and that nobody offers."""
    names = list(known)
    found = []
    for case in document.use_cases:
        for line in case.lines():
            for tool in line.tools:
                if tool not in names:
                    near = difflib.get_close_matches(tool, names, 1)
                    there = ", ".join(names) or "none"
                    fix = f"did you mean @{near[0]}()?" if near else f"the agent's tools: {there}"
                    column = line.text.find(f"@{tool}") + 1
                    message = f"there is no tool {tool!r}"
                    found.append(Diagnostic(line.number, column, message, fix))
    return found


def _significant(text: str) -> Iterator[tuple[int, str, bool]]:
    """Lines with their numbers and whether they lie in a code fence; comments are left out."""
    fenced = commented = False
    for number, line in enumerate(text.splitlines(), 1):
        if _FENCE.match(line) and not commented:
            fenced = not fenced
            yield number, line, True
        elif fenced:
            yield number, line, True
        elif commented or line.lstrip().startswith("<!--"):
            commented = "-->" not in line
        elif not line.lstrip().startswith("//"):
            yield number, line, False


def _trimmed(parts: list[Part]) -> list[Part]:
    """Without empty lines at either end."""

    def empty(part: Part) -> bool:
        return isinstance(part, Line) and not part.text.strip()

    while parts and empty(parts[0]):
        parts.pop(0)
    while parts and empty(parts[-1]):
        parts.pop()
    return parts
