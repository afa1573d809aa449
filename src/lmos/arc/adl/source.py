"""A document's lines as the parser reads them: numbered, without comments, code fences marked."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lmos.arc.adl.ast import Diagnostic

_FENCE = re.compile(r"\s*(?P<mark>`{3,}|~{3,})(?P<rest>[^`]*)$")


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line with its number from 1; one of a code fence is taken as it is."""

    number: int
    text: str
    fenced: bool = False


@dataclass
class _Opened:
    """A comment or a code fence that is open: what it began with, and where."""

    mark: str
    line: int
    column: int


class Source:
    """The lines that count, and a diagnostic for what is opened and never closed."""

    def __init__(self, text: str) -> None:
        self._opened: _Opened | None = None
        plain = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
        self.lines = list(self._read(plain.split("\n")))

    @property
    def diagnostics(self) -> list[Diagnostic]:
        """What is still open at the end."""
        if self._opened is None:
            return []
        comment = self._opened.mark == "<!--"
        what, end = ("comment", "-->") if comment else ("code fence", self._opened.mark)
        message = f"the {what} is never closed"
        return [Diagnostic(self._opened.line, self._opened.column, message, f"end it with {end}")]

    def _read(self, lines: list[str]) -> Iterator[SourceLine]:
        for number, line in enumerate(lines, 1):
            if self._opened is None and line.lstrip().startswith("//"):
                continue
            if self._in_fence(line, number):
                yield SourceLine(number, line, fenced=True)
                continue
            text = self._uncommented(line, number)
            if text.strip() or text == line:
                yield SourceLine(number, text)

    def _in_fence(self, line: str, number: int) -> bool:
        """Whether the line belongs to a code fence, the lines that open and close it included."""
        found = _FENCE.match(line)
        if self._opened is None:
            if found:
                self._opened = _Opened(found["mark"], number, found.start("mark") + 1)
            return found is not None
        if self._opened.mark == "<!--":
            return False
        if found and found["mark"].startswith(self._opened.mark) and not found["rest"].strip():
            self._opened = None
        return True

    def _uncommented(self, line: str, number: int) -> str:
        """The line without `<!-- comments -->`, which may end or begin on other lines."""
        kept: list[str] = []
        at = 0
        while at < len(line):
            if self._opened:
                end = line.find("-->", at)
                if end < 0:
                    break
                self._opened, at = None, end + 3
            start = line.find("<!--", at)
            if start < 0:
                kept.append(line[at:])
                break
            kept.append(line[at:start])
            self._opened, at = _Opened("<!--", number, start + 1), start + 4
        return "".join(kept)
