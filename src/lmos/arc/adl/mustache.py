"""Mustache templates over tools' results, for replies that are said as they are.

`{{a.b}}` a value, `{{#list}}...{{/list}}` repeated or when true, `{{^x}}...{{/x}}` when empty or
missing, `{{.}}` the item itself. Text is never escaped: replies are text, not HTML. Amounts keep
two decimals, dates are written out.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

_TAG = re.compile(r"\{\{\{?\s*([#^/]?)\s*([\w.\-]+)\s*\}?\}\}")


@dataclass
class _Node:
    kind: str
    name: str
    parts: "list[str | _Node]" = field(default_factory=list)


def render(template: str, values: Mapping[str, Any]) -> str:
    """The template filled. A value that is not there is left empty."""
    return _fill(_parsed(template), [values])


def names(template: str) -> set[str]:
    """The first words of all the names in the template."""
    return {match[2].split(".")[0] for match in _TAG.finditer(template)}


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
        case str():
            return value
        case Mapping():
            return ", ".join(f"{_words(k)}: {plain(v)}" for k, v in value.items() if v is not None)
        case Sequence():
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
        node = _Node(tag[1], tag[2])
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
