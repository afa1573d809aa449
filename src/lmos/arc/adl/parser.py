"""Reading ADL: Markdown headings, sections, and lines with conditions.

`source` cuts the text into lines once. Headings open use cases and sections. A condition before a
line's text (`<web>Use links.`) counts for that line; alone on its line it opens a block up to
`</>`. A quoted reply may go over several lines. Every mistake is collected with its position, none
ends the reading; it takes time in proportion to the text, whatever the text is.
"""

import difflib
import re
from collections.abc import Iterator
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
from lmos.arc.adl.source import Source, SourceLine

_HEADING = re.compile(r"\s*#{1,6}(?P<blank>\s*)(?P<word>[^:]*)(?::(?P<rest>.*))?")
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
_NO_COLON = re.compile(r"use ?case\s+\S+", re.IGNORECASE)
_HEADER = re.compile(  # over text with single blanks
    r"(?P<id>[^\s(<]+) ?(?:\((?P<limit>\d*)\))? ?(?P<conditions>(?:<[^<>]*> ?)*)$"
)
_VERSION = re.compile(r"<version:([^<>]*)>", re.IGNORECASE)
_CONDITION = re.compile(r"\s*(?:-\s+)?<((?:regex:(?:\\.|[^\\>])*|[!\w][\w!,\- ]*))>", re.IGNORECASE)
_TOOL = re.compile(r"(?<![\w@.])@([A-Za-z_][\w-]*)\(\)!?")
_TOOL_WITH_ARGUMENTS = re.compile(r"(?<![\w@.])@([A-Za-z_][\w-]*)\((?=[^)\s])")
_REFERENCE = re.compile(r"(?<!\w)#([A-Za-z][\w/-]*)(?=[\s.,;:!?)]|$)")
_END = re.compile(r"-{4,}\s*$")
_OPENS_QUOTE = re.compile(r'\s*(?:-\s+)?(?:<[^<>]*>\s*)*"[^"]*$')
#: Lines of one quoted reply.
MAX_REPLY_LINES = 100
#: Blocks inside blocks.
MAX_DEPTH = 20


@dataclass
class _Open:
    """A use case being read."""

    id: str
    line: int
    version: str
    limit: int | None = None
    conditions: tuple[Condition, ...] = ()
    category: str = ""
    sections: dict[SectionName, list[SourceLine]] = field(default_factory=dict)


def parse(text: str) -> Document:
    """The document that the text writes, with a diagnostic for everything that is wrong."""
    return _Parser(text).document()


class _Parser:
    def __init__(self, text: str) -> None:
        source = Source(text)
        self._lines = source.lines
        self._diagnostics = source.diagnostics
        self._done: list[_Open] = []
        self._version = ""

    def document(self) -> Document:
        case: _Open | None = None
        section: list[SourceLine] | None = None
        ended = False
        for line in self._lines:
            if line.fenced:
                if section is not None:
                    section.append(line)
            elif found := _VERSION.fullmatch(line.text.strip()):
                self._set_version(found[1].strip(), case)
            elif heading := _heading_of(line.text):
                case, section = self._heading(heading, line.number, case)
                ended = False
            elif _END.match(line.text):
                section, ended = None, True
            elif section is not None:
                section.append(line)
            elif case is not None and line.text.strip() and not ended:
                self._say(line.number, 1, "text outside a section", "put it below a heading")
        if not self._done and any(line.text.strip() for line in self._lines):
            self._say(1, 1, "there is no use case", "begin one with: ### UseCase: my_use_case")
        cases = tuple(self._finished(open_) for open_ in self._done)
        self._check_ids(cases)
        return Document(cases, tuple(sorted(self._diagnostics, key=lambda d: (d.line, d.column))))

    # --- headings ---------------------------------------------------------------------------------

    def _heading(
        self, heading: re.Match[str], number: int, case: _Open | None
    ) -> tuple[_Open | None, list[SourceLine] | None]:
        title, rest = heading["word"].strip(), heading["rest"] or ""
        word, column = title.lower(), heading.start("word") + 1
        if word in _USE_CASE:
            case = self._case(rest, number, heading.start("rest") + 2 if rest.strip() else column)
            self._done.append(case)
            return case, None
        if _NO_COLON.fullmatch(word):
            fix = f"write it as: ### UseCase: {title.split()[-1]}"
            self._say(number, column, "a colon is missing", fix)
        if case is None:
            return None, None  # a title of the document
        if word == "category":
            case.category = rest.strip()
            return case, None
        if word in _SECTIONS:
            return case, case.sections.setdefault(_SECTIONS[word], [])
        if not _NO_COLON.fullmatch(word):
            self._say(number, column, f"unknown section {title!r}", _section_meant(word))
        return case, []

    def _case(self, header: str, number: int, column: int) -> _Open:
        header = " ".join(header.split())
        found = _HEADER.match(header)
        if found is None:
            fix = "write it as: ### UseCase: my_use_case"
            self._say(number, column, f"{header[:80]!r} is no id of a use case", fix)
            return _Open(header or f"line_{number}", number, self._version)
        conditions = [c for group in re.findall(r"<([^<>]*)>", found["conditions"])
                      for c in self._conditions(group, number, column)]  # fmt: skip
        limit = int(found["limit"][:9]) if found["limit"] else None
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

    def _parts(self, lines: list[SourceLine]) -> tuple[Part, ...]:
        """Lines and blocks, nested as `<condition>` and `</>` say."""
        blocks = _Blocks()
        for line in _quotes_joined(lines):
            if line.fenced:
                blocks.add(Line(line.text.rstrip(), line.number))
                continue
            conditions, text, column = self._leading(line)
            text, closes = text.replace("</>", ""), text.count("</>")
            if conditions and not text.strip() and not closes:
                if not blocks.open(conditions, line.number):
                    fix = f"nest {MAX_DEPTH} at most"
                    self._say(line.number, 1, "too many blocks inside each other", fix)
                continue
            if text.strip() or not closes:
                found = self._line(text, line.number, column)
                blocks.add(Block(conditions, (found,), line.number) if conditions else found)
            for _ in range(closes):
                if not blocks.close():
                    column = line.text.find("</>") + 1
                    self._say(line.number, column, "</> closes nothing", "remove it")
                    break
        for number in blocks.unclosed():
            fix = "end it with </> or put the condition before its line"
            self._say(number, 1, "the block is never closed", fix)
        return tuple(_trimmed(blocks.parts))

    def _leading(self, line: SourceLine) -> tuple[tuple[Condition, ...], str, int]:
        """The conditions before a line's text, the text, and the column where it begins."""
        found: list[Condition] = []
        bullet, end = "", 0
        while match := _CONDITION.match(line.text, end):
            bullet = bullet or ("- " if match[0].lstrip().startswith("- ") else "")
            found += self._conditions(match[1], line.number, match.start(1) + 1)
            end = match.end()
        text = line.text[end:].lstrip() if found else line.text
        column = len(line.text) - len(text) - len(bullet) + 1
        return tuple(found), bullet + text, column

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

    def _line(self, text: str, number: int, column: int) -> Line:
        line = Line(
            text=text.rstrip(),
            number=number,
            tools=tuple(found[1] for found in _TOOL.finditer(text)),
            references=tuple(found[1] for found in _REFERENCE.finditer(text)),
            column=column,
        )
        if found := _TOOL_WITH_ARGUMENTS.search(text):
            fix = f"write @{found[1]}(); arguments come from its parameters"
            place = line.position(found.start())
            self._say(*place, "a tool is named without arguments", fix)
        return line

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


class _Blocks:
    """Parts as they are put into blocks that are opened and closed."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self._open: list[tuple[tuple[Condition, ...], list[Part], int]] = []

    def add(self, part: Part) -> None:
        """Puts the part into the innermost block."""
        (self._open[-1][1] if self._open else self.parts).append(part)

    def open(self, conditions: tuple[Condition, ...], number: int) -> bool:
        """Opens a block; False where there are too many already."""
        if len(self._open) == MAX_DEPTH:
            return False
        self._open.append((conditions, [], number))
        return True

    def close(self) -> bool:
        """Closes the innermost block; False where none is open."""
        if not self._open:
            return False
        conditions, parts, number = self._open.pop()
        self.add(Block(conditions, tuple(parts), number))
        return True

    def unclosed(self) -> Iterator[int]:
        """The lines where blocks begin that are still open, which are closed now."""
        while self._open:
            yield self._open[-1][2]
            self.close()


def _heading_of(text: str) -> re.Match[str] | None:
    """The line as a heading. `#reference` begins with a hash as well, and is none."""
    found = _HEADING.match(text)
    word = found["word"].strip() if found else ""
    if found and word and (found["blank"] or word.lower() in (*_SECTIONS, *_USE_CASE)):
        return found
    return None


def _section_meant(word: str) -> str:
    near = difflib.get_close_matches(word[:40], [*_SECTIONS, *_USE_CASE], 1)
    known = "Description, Steps, Solution, Alternative Solution, Fallback Solution, Examples"
    return f"did you mean {near[0].title()}?" if near else f"sections are {known}, Goal, Context"


def _quotes_joined(lines: list[SourceLine]) -> Iterator[SourceLine]:
    """The lines, with a reply that is quoted over several of them as one."""
    closing = -1
    for index, line in enumerate(lines):
        if index <= closing:
            continue
        if not line.fenced and _OPENS_QUOTE.match(line.text):
            closing = max(closing, _end_of_quote(lines, index))
        if closing > index:
            text = "\n".join(part.text.strip() for part in lines[index + 1 : closing + 1])
            yield SourceLine(line.number, f"{line.text.rstrip()}\n{text}")
        else:
            yield line


def _end_of_quote(lines: list[SourceLine], start: int) -> int:
    """The index of the line that ends the quote begun at the start; the start's where none does."""
    for index in range(start + 1, min(len(lines), start + MAX_REPLY_LINES)):
        line = lines[index]
        if line.fenced or _CONDITION.match(line.text) or "</>" in line.text:
            break
        if '"' in line.text:
            return index if line.text.rstrip().endswith('"') else start
    return start


def _trimmed(parts: list[Part]) -> list[Part]:
    """Without empty lines at either end."""

    def empty(part: Part) -> bool:
        return isinstance(part, Line) and not part.text.strip()

    while parts and empty(parts[0]):
        parts.pop(0)
    while parts and empty(parts[-1]):
        parts.pop()
    return parts
