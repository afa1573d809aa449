"""Mustache templates over tools' results, for replies that are said as they are.

`{{a.b}}` a value, `{{#list}}...{{/list}}` repeated or when true, `{{^x}}...{{/x}}` when empty or
missing, `{{.}}` the item itself. A tag of a section that is alone on its line leaves no line. Text
is never escaped: replies are text, not HTML. Amounts keep two decimals, dates are written out.
"""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

_TAG = re.compile(r"\{\{\{?\s*(?:([#^/])\s*)?([\w.\-]+)\s*\}?\}\}")
_ALONE = re.compile(r"^[ \t]*(\{\{[#^/][^\n{}]*\}\})[ \t]*(?:\n|\Z)", re.MULTILINE)


@dataclass
class _Node:
    kind: str
    name: str
    parts: "list[str | _Node]" = field(default_factory=list)


def render(template: str, values: Mapping[str, Any]) -> str:
    """The template filled. A value that is not there is left empty."""
    return _fill(_parsed(_ALONE.sub(r"\1", template)), [values])


def names(template: str) -> list[str]:
    """The first words of the names outside sections, sections' own names included."""
    found: list[str] = []
    depth = 0
    for tag in _TAG.finditer(template):
        if tag[1] == "/":
            depth = max(0, depth - 1)
            continue
        if depth == 0:
            found.append(tag[2].split(".")[0] or ".")
        depth += bool(tag[1])
    return list(dict.fromkeys(found))


def check(template: str) -> list[tuple[str, str, str]]:
    """What is wrong with the template's tags: the tag, what it is, and how to mend it."""
    found = []
    if "{{" in _TAG.sub("", template):
        found.append(("{{", "a {{ begins no name", "write {{name}}, {{#list}} or {{/list}}"))
    open_: list[re.Match[str]] = []
    for tag in _TAG.finditer(template):
        if tag[1] in ("#", "^"):
            open_.append(tag)
        elif tag[1] and open_ and open_[-1][2] == tag[2]:
            open_.pop()
        elif tag[1]:
            fix = f"close {open_[-1][0]} first" if open_ else "remove it"
            found.append((tag[0], f"{tag[0]} closes nothing", fix))
    for tag in open_:
        fix = f"end it with {{{{/{tag[2]}}}}} in the same reply"
        found.append((tag[0], f"the section {tag[0]} is never closed", fix))
    return found


def plain(value: Any) -> str:
    """A value as a person writes it."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case Decimal():
            return f"{value:,.2f}"
        case datetime():
            return f"{plain(value.date())}, {value:%H:%M}"
        case date():
            return f"{value.day} {value:%B %Y}"
        case float():
            return f"{value:g}"
        case Enum():
            return plain(value.value)
        case str():
            return value
        case Mapping():
            return ", ".join(f"{_words(k)}: {plain(v)}" for k, v in value.items() if v is not None)
        case Sequence() if any(isinstance(item, Mapping) for item in value):
            return "\n".join(f"- {plain(item)}" for item in value)
        case Sequence() | Set():
            return ", ".join(plain(item) for item in value)
        case _:
            return str(value)


def _words(name: str) -> str:
    return str(name).replace("_", " ")


def _parsed(template: str) -> list[str | _Node]:
    root = _Node("", "")
    stack = [root]
    end = 0
    for tag in _TAG.finditer(template):
        stack[-1].parts.append(template[end : tag.start()])
        end = tag.end()
        if tag[1] == "/":
            if len(stack) > 1 and stack[-1].name == tag[2]:
                stack.pop()
            continue
        node = _Node(tag[1] or "", tag[2])
        stack[-1].parts.append(node)
        if tag[1]:
            stack.append(node)
    stack[-1].parts.append(template[end:])
    return root.parts


def _fill(parts: "list[str | _Node]", scopes: list[Any]) -> str:
    return "".join(part if isinstance(part, str) else _node(part, scopes) for part in parts)


def _node(node: _Node, scopes: list[Any]) -> str:
    value = _look_up(node.name, scopes)
    if not node.kind:
        return plain(value)
    if node.kind == "^":
        return "" if value else _fill(node.parts, scopes)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "".join(_fill(node.parts, [*scopes, item]) for item in value)
    return _fill(node.parts, [*scopes, value]) if value else ""


def _look_up(name: str, scopes: list[Any]) -> Any:
    if name == ".":
        return scopes[-1]
    first, *rest = name.split(".")
    for scope in reversed(scopes):
        if isinstance(scope, Mapping) and first in scope:
            value = scope[first]
            for part in rest:
                value = value.get(part) if isinstance(value, Mapping) else None
            return value
    return None
