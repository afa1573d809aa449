"""Reading ADL line by line as the original does.

Headings are known by what they contain, wherever it stands in the line, the first in `_SECTIONS`
first. A category's line also belongs to the section before it. One heading that is not known ends
the reading.
"""

import re
from collections.abc import Iterator
from typing import Literal

from lmos.arc.adl.compat.document import ArcLine, ArcUseCase, Lines
from lmos.model import errors

_VERSION = re.compile(r"<version:\s*([^>]*?)\s*>", re.IGNORECASE)
_TAG = re.compile(r"<(.*?)>")
_HEADER = re.compile(r"\s*([^(\s]+)\s*(?:\(\s*([0-9]*)\s*\))?\s*")
_TOOL = re.compile(r"(?<=[ \t\n\x0b\f\r])@([0-9A-Za-z_-]+)\(\)")
_REFERENCE = re.compile(r"(?<=[^0-9A-Za-z_])#([0-9A-Za-z_/-]+)(?=[ .,]|\Z)")
_SECTIONS: dict[str, "Lines | Text"] = {
    "# Goal": "goal",
    "# Description": "description",
    "# Solution": "solution",
    "# Alternative": "alternativeSolution",
    "# Fallback": "fallbackSolution",
    "# Step": "steps",
    "# Example": "examples",
    "# Context": "context",
    "# Output": "output",
}
_MAX_NUMBER = 2**31 - 1
#: Different references on one line whose paths are taken off in turn, as the original does.
_IN_TURN = 100

Text = Literal["description", "examples"]


class ArcSyntaxError(errors.InvalidInput):
    """The document has a heading that the original does not know. `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message, line=line)


def read(text: str) -> list[ArcUseCase]:
    """The use cases and cases of a document. `ArcSyntaxError` where the original fails."""
    return _Reader(text).use_cases()


class _Reader:
    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        found = _VERSION.search(text)
        self._version = found[1] if found else None
        self._done: list[ArcUseCase] = []
        self._section: Lines | Text | None = None
        self._of_case = False
        self._description: list[str] = []
        self._examples: list[str] = []

    def use_cases(self) -> list[ArcUseCase]:
        for number, line in enumerate(self._lines, 1):
            begin = line.lstrip()
            if begin.startswith(("//", "<!--")):
                continue
            if not begin.startswith("#"):
                if begin.startswith("----"):
                    self._section = None
                self._add(line)
            elif self._heading(line, number):
                self._add(line)
        self._finish()
        return self._done

    def _heading(self, line: str, number: int) -> bool:
        """Takes the heading; whether its line also belongs to the open section."""
        if "# UseCase" in line or "# Skill" in line or "# Case" in line:
            self._open(line)
        elif "# Category:" in line:
            category = line.partition(":")[2].strip()
            if not category:
                raise ArcSyntaxError(f"Missing category in: {line.strip()}", number)
            if self._done:
                self._done[-1].category = category
            return True
        else:
            known = (section for word, section in _SECTIONS.items() if word in line)
            self._section = next(known, None)
            self._of_case = False
            if self._section is None:
                raise ArcSyntaxError(f"Unknown UseCase section: {line.strip()}", number)
        return False

    def _open(self, line: str) -> None:
        self._finish()
        text, conditions = _without_tags(line)
        header = (text.partition(":")[2] if ":" in text else text).strip()
        found = _HEADER.fullmatch(header)
        limit = int(found[2][:11]) if found and found[2] else None
        self._done.append(
            ArcUseCase(
                id=found[1] if found else header,
                limit=limit if limit is None or limit <= _MAX_NUMBER else None,
                version=self._version,
                conditions=conditions,
                sub="# Case" in line,
            )
        )
        self._section = "solution" if self._done[-1].sub else None
        self._of_case = self._done[-1].sub

    def _add(self, line: str) -> None:
        if not self._done or self._section is None:
            return
        if self._section == "description":
            self._description.append(line + "\n")
        elif self._section == "examples":
            self._examples.append(line + "\n")
        elif not (self._of_case and "# Case" in line):
            self._done[-1].lines.setdefault(self._section, []).append(read_line(line))

    def _finish(self) -> None:
        if self._done:
            self._done[-1].description = "".join(self._description)
            self._done[-1].examples = "".join(self._examples)
        self._description, self._examples = [], []


def read_line(line: str) -> ArcLine:
    """A line: tags are taken out first, then tools, then the paths of references."""
    text, conditions = _without_tags(line) if "<" in line else (line.strip(), ())
    functions: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    if "@" in text and (functions := tuple(dict.fromkeys(_TOOL.findall(text)))):
        named = {f"@{name}()" for name in functions}
        text = re.sub(r"@[0-9A-Za-z_-]+\(\)", lambda m: _name(m[0], named), text).strip()
    if "#" in text and (references := tuple(dict.fromkeys(_REFERENCE.findall(text)))):
        text = _without_paths(text, references)
    ends = "/" in conditions
    return ArcLine(text, tuple(c for c in conditions if c != "/"), functions, references, ends)


def _name(call: str, named: set[str]) -> str:
    return call[1:-2] if call in named else call


def _without_tags(line: str) -> tuple[str, tuple[str, ...]]:
    """The line without what stands in `<...>`, and that, split at commas."""
    if ">" not in line:
        return line.strip(), ()
    groups: Iterator[str] = (found[1] for found in _TAG.finditer(line))
    conditions = (part.strip() for group in groups for part in group.split(","))
    return _TAG.sub("", line).strip(), tuple(dict.fromkeys(conditions))


def _without_paths(text: str, references: tuple[str, ...]) -> str:
    """The text with `#folder/file/id` as `#id`, wherever the reference stands."""
    paths = [reference for reference in references if "/" in reference]
    if len(paths) > _IN_TURN:
        found = set(paths)
        return _REFERENCE.sub(
            lambda m: f"#{m[1].rpartition('/')[2]}" if m[1] in found else m[0], text
        ).strip()
    for path in paths:
        text = text.replace(f"#{path}", f"#{path.rpartition('/')[2]}").strip()
    return text
