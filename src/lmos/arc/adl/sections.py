"""Reading the lines of a section: conditions, blocks, options, code fences, replies, tools.

A condition before a line's text counts for that line; alone on its line it opens a block up to
`</>`. A quoted reply may go over several lines. A backslash takes the next sign as it is.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from lmos.arc.adl.ast import Block, Condition, Fence, Line, Option, Part
from lmos.arc.adl.conditions import read_conditions
from lmos.arc.adl.source import SourceLine

#: Lines of one quoted reply.
MAX_REPLY_LINES = 100
#: Blocks inside blocks.
MAX_DEPTH = 20

CONDITION = re.compile(
    r"\s*(?:-\s+)?<[ \t]*((?:regex:(?:\\.|[^\\>])*|[!\w(][!\w,.\-() ]*))>", re.IGNORECASE
)
_UNCLOSED = re.compile(r"\s*(?:-\s+)?<(?:regex:|!?[A-Za-z_])[^>]*$", re.IGNORECASE)
_ODD = re.compile(r"\s*(?:-\s+)?(<!?[A-Za-z_][^<>/@]*>)")
_TOOL = re.compile(r"(?<![\w@.\\])@([A-Za-z_][\w-]*)\(\)(!?)")
_TOOL_WITH_ARGUMENTS = re.compile(r"(?<![\w@.\\])@([A-Za-z_][\w-]*)\((?=[^)\s])")
REFERENCE = re.compile(r"(?<![\w\\#{&/])#((?:[\w.-]+/)*[A-Za-z_][\w-]*)(?=[\s.,;:!?)]|$)")
_OPTION = re.compile(r"\s*\[(?P<option>[^\[\]]*)\]\s*(?P<command>[^\s(].*)$", re.DOTALL)
_OPENS_QUOTE = re.compile(r'\s*(?:-\s+)?(?:<[^<>]*>\s*)*"[^"]*$')
_CLOSE = re.compile(r"(?<!\\)</>")
_INSIDE = re.compile(r"(?<!\\)<(?:regex:[^<>]*|(?:!|not )?[A-Za-z_][\w, -]*)>")

#: Told of a mistake: line, column, what it is, how to mend it, its code.
Say = Callable[[int, int, str, str, str], None]


def read_parts(lines: Sequence[SourceLine], say: Say) -> tuple[Part, ...]:
    """Lines, options, fences and blocks, nested as `<condition>` and `</>` say."""
    return _Section(say).read(lines)


def read_line(text: str, number: int, column: int, say: Say) -> Line:
    """A line of text with the tools and references in it."""
    text = text.rstrip()
    tools: tuple[str, ...] = ()
    enforced: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    if "@" in text:
        found = _TOOL.findall(text)
        tools = tuple(name for name, _ in found)
        enforced = tuple(name for name, mark in found if mark)
    if "#" in text:
        references = tuple(REFERENCE.findall(text))
    line = Line(text, number, tools, references, column, enforced)
    if references and line.reply is not None:  # what is said is mere text
        line = Line(text, number, tools, (), column, enforced)
    if "<" in text and line.reply is None and (inside := _INSIDE.search(text)):
        place = line.position(inside.start())
        message = f"{inside[0]} stands inside the line and is no condition there"
        fix = "put it before the text of the line, or write \\< for the sign"
        say(*place, message, fix, "condition-inside")
    if "@" in text and (wrong := _TOOL_WITH_ARGUMENTS.search(text)):
        fix = f"write @{wrong[1]}(); arguments come from its parameters"
        place = line.position(wrong.start())
        say(*place, "a tool is named without arguments", fix, "tool-arguments")
    return line


class _Section:
    """The parts of a section as they are put into blocks that are opened and closed."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._parts: list[Part] = []
        self._open: list[tuple[tuple[Condition, ...], list[Part], int]] = []

    def read(self, lines: Sequence[SourceLine]) -> tuple[Part, ...]:
        fence: list[SourceLine] = []
        for line in _quotes_joined(lines):
            if line.fenced:
                fence.append(line)
                if line.kind == "close":
                    self._add(_fence(fence))
                    fence = []
            else:
                self._line(line)
        if fence:
            self._add(_fence(fence))
        self._close_all()
        return tuple(_trimmed(self._parts))

    def _line(self, line: SourceLine) -> None:
        conditions, text, column = self._leading(line)
        closes = 0
        if "</>" in text:
            text, closes = _CLOSE.subn("", text)
        if conditions is not None and not closes and not text.strip():
            self._open_block(conditions, line.number)
            return
        if not text.strip() and not closes:
            self._blank(line.number)
        elif text.strip():
            part = self._text(text, line.number, column)
            self._add(Block(conditions, (part,), line.number, True) if conditions else part)
        elif conditions is not None:
            column = line.text.find("<") + 1
            fix = "put text between the condition and </>"
            self._say(line.number, column, "the block is empty", fix, "empty-block")
            closes -= 1
        for _ in range(closes):
            if not self._close_block():
                column = line.text.find("</>") + 1
                fix = "remove it, or open the block with the condition alone on its line"
                self._say(line.number, column, "</> closes nothing", fix, "block-not-open")
                break

    def _text(self, text: str, number: int, column: int) -> Line | Option:
        if "[" in text and (found := _OPTION.match(text)):
            return self._option(found, number, column)
        return read_line(text, number, column, self._say)

    def _option(self, found: re.Match[str], number: int, column: int) -> Option:
        start = found.start("command")
        command = read_line(found["command"], number, column + start, self._say)
        return Option(
            found["option"].strip(),
            command.text,
            number,
            column + found.start("option") - 1,
            command.references[0] if command.references else "",
            command.tools,
            command.enforced,
        )

    def _leading(self, line: SourceLine) -> tuple[tuple[Condition, ...] | None, str, int]:
        """The conditions before a line's text, None for none, the text, and where it begins."""
        if "<" not in line.text:
            return None, line.text, 1
        found: list[Condition] = []
        bullet, end = "", 0
        while match := CONDITION.match(line.text, end):
            bullet = bullet or ("- " if match[0].lstrip().startswith("- ") else "")
            found += read_conditions(
                match[1], line.number, match.start(1) + 1, partial(self._say, line.number)
            )
            end = match.end()
        self._check_rest(line, end)
        if not end:
            return None, line.text, 1
        text = line.text[end:].lstrip()
        return tuple(found), bullet + text, len(line.text) - len(text) - len(bullet) + 1

    def _check_rest(self, line: SourceLine, end: int) -> None:
        """Tells of what looks like a condition behind those that a line begins with."""
        column = line.text.find("<", end) + 1
        if _UNCLOSED.match(line.text, end):
            fix = "end it with >, or write \\< for the sign"
            self._say(line.number, column, "the condition is never closed", fix, "condition")
        elif odd := _ODD.match(line.text, end):
            fix = "names have letters, digits, _ - and . only; write \\< for the sign"
            self._say(line.number, column, f"{odd[1][:60]} is no condition", fix, "condition")

    def _blank(self, number: int) -> None:
        """An empty line; several are one."""
        parts = self._open[-1][1] if self._open else self._parts
        if not (parts and isinstance(parts[-1], Line) and not parts[-1].text):
            parts.append(Line("", number))

    # --- blocks -----------------------------------------------------------------------------------

    def _add(self, part: Part) -> None:
        """Puts the part into the innermost block."""
        (self._open[-1][1] if self._open else self._parts).append(part)

    def _open_block(self, conditions: tuple[Condition, ...], number: int) -> None:
        if len(self._open) == MAX_DEPTH:
            message, fix = "too many blocks inside each other", f"nest {MAX_DEPTH} at most"
            self._say(number, 1, message, fix, "block-depth")
            return
        self._open.append((conditions, [], number))

    def _close_block(self) -> bool:
        """Closes the innermost block; False where none is open."""
        if not self._open:
            return False
        conditions, parts, number = self._open.pop()
        self._add(Block(conditions, tuple(_trimmed(parts)), number))
        return True

    def _close_all(self) -> None:
        while self._open:
            fix = "end it with </> or put the condition before its line"
            self._say(self._open[-1][2], 1, "the block is never closed", fix, "unclosed-block")
            self._close_block()


def _fence(lines: Sequence[SourceLine]) -> Fence:
    first = lines[0].text
    mark = first.lstrip()
    column = len(first) - len(mark) + 1
    info = mark.lstrip(mark[0])
    mark = mark[: len(mark) - len(info)]
    closed = lines[-1].kind == "close"
    code = "\n".join(line.text for line in (lines[1:-1] if closed else lines[1:]))
    code = code if closed else code.rstrip("\n")
    language = info.split()[0] if info.strip() else ""
    return Fence(language, code, lines[0].number, column, mark, info.strip())


def quotes(lines: Sequence[SourceLine]) -> Iterator[tuple[int, int]]:
    """The indexes of the first and the last line of each quoted reply that goes over several."""
    closing = -1
    for index, line in enumerate(lines):
        if index > closing and line.kind == "text" and '"' in line.text:
            if not _OPENS_QUOTE.match(line.text):
                continue
            closing = _end_of_quote(lines, index)
            if closing > index:
                yield index, closing


def _quotes_joined(lines: Sequence[SourceLine]) -> Iterator[SourceLine]:
    """The lines, with a reply that is quoted over several of them as one."""
    at = 0
    for first, last in quotes(lines):
        yield from lines[at:first]
        text = "\n".join(part.text.strip() for part in lines[first + 1 : last + 1])
        yield SourceLine(lines[first].number, f"{lines[first].text.rstrip()}\n{text}")
        at = last + 1
    yield from lines[at:]


def _end_of_quote(lines: Sequence[SourceLine], start: int) -> int:
    """The index of the line that ends the quote begun at the start; the start's where none does."""
    full = 0
    for index in range(start + 1, len(lines)):
        line = lines[index]
        full += bool(line.text.strip())
        if full == MAX_REPLY_LINES:
            break
        if line.fenced or CONDITION.match(line.text) or "</>" in line.text:
            break
        if '"' in line.text:
            return index if line.text.rstrip().endswith('"') else start
    return start


def _trimmed(parts: list[Part]) -> list[Part]:
    """Without empty lines at either end."""
    full = [i for i, part in enumerate(parts) if not isinstance(part, Line) or part.text.strip()]
    return parts[full[0] : full[-1] + 1] if full else []
