"""Checking a document against the agent that it is for: tools that are not there, replies that
cannot be filled.
"""

import difflib
from collections.abc import Iterable, Iterator, Sequence

from lmos.arc.adl import mustache
from lmos.arc.adl.ast import Diagnostic, Document, Line


def check_tools(document: Document, known: Iterable[str]) -> list[Diagnostic]:
    """A diagnostic for every tool that the document names and that nobody offers."""
    names = list(known)
    return [
        _at(line, f"@{tool}(", f"there is no tool {tool!r}", _tool_meant(tool, names))
        for line in _lines(document)
        for tool in dict.fromkeys(line.tools)
        if tool not in names
    ]


def check_replies(document: Document, known: Iterable[str]) -> list[Diagnostic]:
    """A diagnostic for every `{{name}}` in a reply that nothing fills, and for sections that are
    not closed. Names inside sections are of the items, and not known here.
    """
    names = list(known)
    found = []
    for line in _lines(document):
        if line.reply is None:
            continue
        found += [_at(line, tag, message, fix) for tag, message, fix in mustache.check(line.reply)]
        for name in mustache.names(line.reply):
            if name not in names:
                message = f"nothing fills {{{{{name}}}}}"
                found.append(_at(line, name, message, _name_meant(name, names)))
    return found


def _lines(document: Document) -> Iterator[Line]:
    return (line for case in document.use_cases for line in case.lines())


def _tool_meant(tool: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(tool, names, 1)
    return f"did you mean @{near[0]}()?" if near else f"the agent's tools: {_listed(names)}"


def _name_meant(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, 1)
    return f"did you mean {{{{{near[0]}}}}}?" if near else f"it can be one of {_listed(names)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _at(line: Line, piece: str, message: str, fix: str) -> Diagnostic:
    """The diagnostic where the piece stands in the line."""
    number, column = line.position(max(0, line.text.find(piece)))
    return Diagnostic(number, column, message, fix)
