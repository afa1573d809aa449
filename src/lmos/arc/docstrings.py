"""What a docstring says of a function, and of each of its parameters."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_FIELD = re.compile(r":param\s+(?:\S+\s+)?(?P<name>\w+):\s*(?P<text>.*)")
_HEADING = re.compile(r"(?P<name>args|arguments|parameters|returns?|raises|yields):", re.IGNORECASE)
_ENTRY = re.compile(r"\s+(?P<name>\w+)\s*(?:\([^)]*\))?:\s*(?P<text>.*)")
_OF_PARAMETERS = ("args", "arguments", "parameters")


@dataclass
class Docstring:
    """The text without its parameters, and theirs by name."""

    text: str = ""
    parameters: dict[str, str] = field(default_factory=dict)


def docstring_of(function: Callable[..., Any]) -> Docstring:
    """What the docstring says; parameters as `:param name: text` or in an `Args:` section."""
    found = Docstring()
    kept: list[str] = []
    section, indent, name = "", 0, ""
    for line in (inspect.getdoc(function) or "").splitlines():
        depth = len(line) - len(line.lstrip())
        if of_field := _FIELD.fullmatch(line.strip()):
            name = ""
            found.parameters[of_field["name"]] = of_field["text"].strip()
        elif heading := _HEADING.fullmatch(line.strip()):
            section, indent, name = heading["name"].lower(), 0, ""
        elif section and line.strip() and depth:
            indent = indent or depth
            entry = _ENTRY.fullmatch(line) if depth == indent else None
            if section in _OF_PARAMETERS and (entry or name):
                name = entry["name"] if entry else name
                text = entry["text"] if entry else line.strip()
                before = "" if entry else found.parameters[name]
                found.parameters[name] = f"{before} {text}".strip()
        elif line.strip() or not section:
            section = ""
            kept.append(line)
    found.text = "\n".join(kept).strip()
    return found
