"""A document's lines as the parser reads them: numbered, without comments, code fences found."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lmos.arc.adl.ast import Comment, Diagnostic

_FENCE = re.compile(r"[ \t]*(?P<mark>`{3,}|~{3,})(?P<rest>[^`]*)$")
_COMMENT = re.compile(r"(?<!\\)<!--")
#: What a line is: text, or the first, an inner or the last line of a code fence.
LineKind = Literal["text", "open", "code", "close"]


@dataclass(slots=True)
class SourceLine:
    """A line with its number from 1; one of a code fence is taken as it is."""

    number: int
    text: str
    kind: LineKind = "text"

    @property
    def fenced(self) -> bool:
        """Whether the line belongs to a code fence."""
        return self.kind != "text"


@dataclass(slots=True)
class _Opened:
    """A comment or a code fence that is open: what it began with, and where."""

    mark: str
    line: int
    column: int


class Source:
    """The lines that count, in order and once; then the comments among them, and a diagnostic for
    what is opened and never closed.
    """

    def __init__(self, text: str) -> None:
        self.comments: list[Comment] = []
        self._opened: _Opened | None = None
        self._comment: list[str] = []
        self._raw = lines_of_text(text)

    def __iter__(self) -> Iterator[SourceLine]:
        return self._read(self._raw)

    @property
    def diagnostics(self) -> list[Diagnostic]:
        """What is still open at the end."""
        if self._opened is None:
            return []
        comment = self._opened.mark == "<!--"
        what, end = ("comment", "-->") if comment else ("code fence", self._opened.mark)
        message, fix = f"the {what} is never closed", f"end it with {end}"
        place = (self._opened.line, self._opened.column)
        return [Diagnostic(*place, message, fix, "unclosed-" + what.replace(" ", "-"))]

    def _read(self, lines: list[str]) -> Iterator[SourceLine]:
        for number, line in enumerate(lines, 1):
            if self._opened is None:
                begin = line.lstrip()[:3]
                if begin[:2] == "//":
                    column = len(line) - len(line.lstrip()) + 1
                    self.comments.append(Comment(line.strip(), number, column))
                    continue
                if begin not in ("```", "~~~") and "<!--" not in line:
                    yield SourceLine(number, line)
                    continue
            if kind := self._in_fence(line, number):
                yield SourceLine(number, line, kind)
                continue
            inside = self._opened is not None
            text = self._uncommented(line, number)
            if text.strip() or (text == line and not inside):
                yield SourceLine(number, text)

    def _in_fence(self, line: str, number: int) -> LineKind | None:
        """What the line is of a code fence; None when it is not of any."""
        found = _FENCE.match(line)
        if self._opened is None:
            if not found:
                return None
            self._opened = _Opened(found["mark"], number, found.start("mark") + 1)
            return "open"
        if self._opened.mark == "<!--":
            return None
        if found and found["mark"].startswith(self._opened.mark) and not found["rest"].strip():
            self._opened = None
            return "close"
        return "code"

    def _uncommented(self, line: str, number: int) -> str:
        """The line without `<!-- comments -->`, which may end or begin on other lines."""
        kept: list[str] = []
        at = inner = 0
        while True:
            if self._opened is None:
                start = _COMMENT.search(line, at)
                if start is None:
                    kept.append(line[at:])
                    break
                kept.append(line[at : start.start()])
                self._opened = _Opened("<!--", number, start.start() + 1)
                at, inner = start.start(), start.end()
            end = line.find("-->", inner)
            self._comment.append(line[at:] if end < 0 else line[at : end + 3])
            if end < 0:
                break
            self._end_comment()
            at = inner = end + 3
        return "".join(kept)

    def _end_comment(self) -> None:
        assert self._opened is not None
        text = "\n".join(self._comment)
        self.comments.append(Comment(text, self._opened.line, self._opened.column))
        self._opened, self._comment = None, []


def lines_of_text(text: str) -> list[str]:
    """The lines of a text, whatever ends them."""
    plain = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return plain.split("\n")
