"""How a model reads a document: only what holds, tools as names, variables filled, fences run."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lmos.arc.adl import mustache
from lmos.arc.adl.ast import Fence, Line, Option, Part, Role, SectionName, UseCase, unescaped
from lmos.arc.adl.facts import Facts, parts_that_hold, present, role_of, solution_of
from lmos.arc.adl.runners import RUNNERS, Runners, run_fence

#: Examples of a use case that a model is shown.
EXAMPLE_LIMIT = 4
#: What a model reads behind the name of a tool that must be called.
ENFORCED = " [must be called]"

_TOOL = re.compile(r"(?<![\w@.\\])@([A-Za-z_][\w-]*)\(\)(!?)")
_PATH = re.compile(r"(?<![\w\\#{&/])#(?:[\w.-]+/)+([A-Za-z_][\w-]*)(?=[\s.,;:!?)]|$)")
_VARIABLE = re.compile(r"(?<!\\)\{\{\{?\s*([\w.-]+)\s*\}?\}\}")


def rendered(
    cases: Iterable[UseCase],
    facts: Facts,
    values: Mapping[str, Any] | None = None,
    runners: Runners = RUNNERS,
) -> str:
    """The use cases that apply, as Markdown for a model. `values` fill `{{name}}`; names that are
    not given stay. `FenceFailed` when the code of a fence fails.
    """
    found = present(cases, facts)
    return "\n\n".join(_use_case(case, facts.of(case), values or {}, runners) for case in found)


def rendered_role(
    roles: Sequence[Role],
    facts: Facts,
    values: Mapping[str, Any] | None = None,
    runners: Runners = RUNNERS,
) -> str:
    """Who the agent is in this turn; empty where the document does not say."""
    role = role_of(roles, facts)
    return text_of(role.parts, facts, values, runners, f"role {role.name}") if role else ""


def text_of(
    parts: Sequence[Part],
    facts: Facts,
    values: Mapping[str, Any] | None = None,
    runners: Runners = RUNNERS,
    where: str = "the section",
) -> str:
    """What a model reads of the parts that hold. `where` names them in errors."""
    pieces = [_text(part, values or {}, runners, where) for part in parts_that_hold(parts, facts)]
    return "\n".join(_without_gaps(pieces))


def _without_gaps(pieces: Iterable[str | None]) -> list[str]:
    """The pieces without those that are left out, and one empty line at most between two."""
    found: list[str] = []
    for piece in pieces:
        if piece or (piece is not None and found and found[-1]):
            found.append(piece)
    while found and not found[-1].strip():
        found.pop()
    return found


def filled(text: str, values: Mapping[str, Any]) -> str:
    """The text with its variables filled and its escapes resolved. A value stays on its line, so
    that it cannot open a section.
    """
    if "{{" not in text or not values:
        return unescaped(text)
    pieces: list[str] = []
    end = 0
    for tag in _VARIABLE.finditer(text):
        known = tag[1].split(".")[0] in values
        value = " ".join(mustache.render(tag[0], values).split()) if known else tag[0]
        pieces += [unescaped(text[end : tag.start()]), value]
        end = tag.end()
    return "".join([*pieces, unescaped(text[end:])])


def _use_case(case: UseCase, facts: Facts, values: Mapping[str, Any], runners: Runners) -> str:
    out = [f"### UseCase: {case.id}", "#### Description", filled(case.description, values)]
    for title, name in _sections(case, facts):
        where = f"use case {case.id}" + (f" in {case.file}.md" if case.file else "")
        if text := text_of(case.section(name), facts, values, runners, where):
            out += [f"#### {title}", text]
    if case.examples:
        examples = case.examples[:EXAMPLE_LIMIT]
        out += ["#### Examples", *(f"- {unescaped(example)}" for example in examples)]
    return "\n".join(out)


def _sections(case: UseCase, facts: Facts) -> list[tuple[str, SectionName]]:
    """The titles and sections that are shown. Where nobody counts uses, the fallback is left to the
    model.
    """
    found: list[tuple[str, SectionName]] = [("Goal", "goal"), ("Steps", "steps")]
    found.append(("Solution", solution_of(case, facts)))
    if not facts.counted:
        found.append(("Fallback Solution", "fallback"))
    return [*found, ("Context", "context")]


def _text(
    part: Line | Fence | Option, values: Mapping[str, Any], runners: Runners, where: str
) -> str | None:
    """The part as a model reads it; None where nothing is left of it."""
    match part:
        case Fence():
            return run_fence(part, values, runners, where) or None
        case Option():
            return f"[{unescaped(part.option)}] {_plain(part.command, values)}"
        case Line():
            return _plain(part.text, values)


def _plain(text: str, values: Mapping[str, Any]) -> str:
    """Text with tools as names and references as ids."""
    if "@" in text:
        text = _TOOL.sub(lambda m: m[1] + (ENFORCED if m[2] else ""), text)
    if "#" in text:
        text = _PATH.sub(r"#\1", text)
    return filled(text, values)
