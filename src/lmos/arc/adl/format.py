"""Writing a document as all documents are written.

Headings, headers, conditions, versions and bullets get one form; empty lines stand before use cases
and where the author put them between lines of text. Comments, code fences, quoted replies and what
cannot be read stay as they are. No text is lost, and the document says the same.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lmos.arc.adl.ast import Condition
from lmos.arc.adl.conditions import read_conditions
from lmos.arc.adl.parser import (
    END,
    HEADER,
    SECTIONS,
    USE_CASE,
    VERSION,
    heading_of,
    without_bullet,
)
from lmos.arc.adl.sections import CONDITION, quotes
from lmos.arc.adl.source import Source, SourceLine, lines_of_text

_TITLES = {
    "goal": "Goal",
    "description": "Description",
    "steps": "Steps",
    "solution": "Solution",
    "alternative": "Alternative Solution",
    "fallback": "Fallback Solution",
    "examples": "Examples",
    "context": "Context",
    "output": "Output",
}


@dataclass(slots=True)
class _Written:
    """A line as it is written; `opens` a use case, `heads` a section, or is taken `as_is`."""

    text: str
    opens: bool = False
    heads: bool = False
    as_is: bool = False


def formatted(text: str) -> str:
    """The document in its one form. It ends with a newline unless it is empty."""
    lines = "\n".join(_spaced(_Formatter(text).lines())).strip("\n")
    return f"{lines}\n" if lines else ""


def condition_text(condition: Condition) -> str:
    """The condition in its one form."""
    match condition.kind:
        case "not":
            return f"!{_inner(condition.parts[0])}"
        case "and":
            return " and ".join(map(_inner, condition.parts))
        case "or":
            return " or ".join(
                condition_text(p) if p.kind == "and" else _inner(p) for p in condition.parts
            )
        case "step":
            return f"step_{condition.step}"
        case "regex":
            return f"regex:{condition.value}"
        case "else":
            return "else"
        case "name":
            return condition.value


def _inner(condition: Condition) -> str:
    text = condition_text(condition)
    return f"({text})" if condition.kind in ("and", "or") else text


class _Formatter:
    """Follows the parser through the lines, and keeps those that it does not see."""

    def __init__(self, text: str) -> None:
        self._raw = lines_of_text(text)
        self._source = {line.number: line for line in Source(text)}
        self._in_case = False
        self._section = ""
        self._quoted: set[int] = set()
        self._find_quotes()

    def lines(self) -> Iterator[_Written]:
        for number, raw in enumerate(self._raw, 1):
            line = self._source.get(number)
            if line is None or line.fenced or line.text != raw:
                yield _Written(raw, as_is=True)
                if line is not None and not line.fenced:
                    self._write(line)  # the parser sees what stands beside the comment
            elif number in self._quoted:
                yield _Written(raw.rstrip(), as_is=True)
            else:
                yield self._write(line)

    def _find_quotes(self) -> None:
        """Finds the lines of quoted replies, section by section."""
        section: list[SourceLine] = []
        for line in [*self._source.values(), SourceLine(0, "----")]:
            if line.kind == "text" and (heading_of(line.text) or END.match(line.text)):
                for first, last in quotes(section):
                    self._quoted |= {part.number for part in section[first + 1 : last + 1]}
                section = []
            else:
                section.append(line)

    def _write(self, line: SourceLine) -> _Written:
        text = line.text.strip()
        if found := VERSION.fullmatch(text):
            return _Written(f"<Version: {found[1].strip()}>")
        if heading := heading_of(line.text):
            title, rest = heading["word"].strip(), (heading["rest"] or "").strip()
            return self._heading(title, rest, text)
        if END.match(line.text):
            self._section = ""
            return _Written("----", heads=True)
        if self._section == "examples" and (example := without_bullet(text)):
            return _Written(f"- {example}")
        if self._section in ("", "description", "examples"):
            return _Written(line.text.rstrip())
        return _Written(_with_conditions(line.text))

    def _heading(self, title: str, rest: str, text: str) -> _Written:
        word = title.lower()
        if word in USE_CASE or word == "case":
            self._in_case, self._section = True, "solution" if word == "case" else ""
            name = {"skill": "Skill", "case": "Case"}.get(word, "UseCase")
            return _Written(f"### {name}: {_header(rest)}".rstrip(), opens=True)
        if word == "role":
            self._in_case, self._section = False, "role"
            return _Written(f"### Role: {rest}" if rest else "### Role", opens=True)
        if not self._in_case:
            self._section = ""
            return _Written(text)
        self._section = SECTIONS.get(word, "")
        if word == "category":
            return _Written(f"#### Category: {rest}".rstrip(), heads=True)
        if word in SECTIONS and not rest:
            return _Written(f"#### {_TITLES[SECTIONS[word]]}", heads=True)
        return _Written(text, heads=True)


def _header(header: str) -> str:
    """`id (limit) <conditions>`, as it is where it cannot be read."""
    header = " ".join(header.split())
    found = HEADER.match(header)
    if found is None:
        return header
    limit = f"({found['limit']})" if found["limit"] else ""
    tags = "".join(_tag(group) for group in _groups(found["conditions"]))
    return " ".join(filter(None, (found["id"], limit, tags)))


def _groups(conditions: str) -> Iterator[str]:
    return (part.rpartition("<")[2] for part in conditions.split(">") if "<" in part)


def _with_conditions(text: str) -> str:
    """The line with the conditions before its text in their one form."""
    bullet, end = "", 0
    tags: list[str] = []
    while match := CONDITION.match(text, end):
        bullet = bullet or ("- " if match[0].lstrip().startswith("- ") else "")
        tags.append(_tag(match[1]))
        end = match.end()
    if not tags:
        return "</>" if text.strip() == "</>" else text.rstrip()
    return f"{bullet}{''.join(tags)}{text[end:].strip()}"


def _tag(group: str) -> str:
    """`<group>` in its one form, as it is where it cannot be read."""
    wrong: list[str] = []
    found = read_conditions(group, 1, 1, lambda *mistake: wrong.append(mistake[1]))
    return f"<{group if wrong or not found else ', '.join(map(condition_text, found))}>"


def _spaced(lines: Iterable[_Written]) -> Iterator[str]:
    """The lines with empty ones only where they belong."""
    before: _Written | None = None
    gap = False
    for line in lines:
        if not line.text.strip() and not line.as_is:
            gap = True
            continue
        if before is not None and _gap_between(before, line, gap):
            yield ""
        yield line.text
        before, gap = line, False


def _gap_between(before: _Written, line: _Written, gap: bool) -> bool:
    """Whether an empty line stands between the two; `gap` when one did."""
    if line.opens:
        return gap or not before.as_is
    if line.heads:
        return gap and before.as_is
    return gap and not (before.heads or before.opens)


def differences(before: str, after: str, name: str) -> Sequence[str]:
    """What formatting changes in a file, as lines of a unified diff."""
    import difflib

    return list(
        difflib.unified_diff(
            before.splitlines(), after.splitlines(), f"{name}", f"{name} (formatted)", lineterm=""
        )
    )
