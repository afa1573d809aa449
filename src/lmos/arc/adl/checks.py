"""What of a document cannot be as it stands: among its own use cases, and against the agent that it
is for. Each check gives diagnostics and takes time in proportion to the document.
"""

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence

from lmos.arc.adl import expressions, mustache
from lmos.arc.adl.ast import (
    TOOL,
    Block,
    Condition,
    Diagnostic,
    Document,
    Fence,
    Line,
    Option,
    Part,
    UseCase,
    parts_of,
)
from lmos.arc.adl.meant import Meant
from lmos.arc.adl.runners import RUNNERS

#: What to do about an example that two use cases have.
REUSED = "keep it where it belongs, so that it leads to one use case"
#: Names that are conditions everywhere.
ALWAYS_KNOWN = ("sometimes",)
#: Mistakes of one kind in one reply that are told.
_TOLD = 100
#: Different conditions of two headers up to which it is worked out whether both can hold.
_WORKED_OUT = 8
#: Use cases of one id, or with one example, that another one is compared with.
_COMPARED = 5


# --- within the document --------------------------------------------------------------------------


def check_ids(cases: Iterable[UseCase]) -> Iterator[Diagnostic]:
    """A diagnostic for every use case whose id another one has, unless their headers cannot both
    hold. A warning where each has a condition that the other does not have.
    """
    before: dict[str, list[UseCase]] = {}
    for case in cases:
        others = before.setdefault(case.id, [])
        for other in others[:_COMPARED]:
            if case.id and not exclusive(case.conditions, other.conditions):
                yield _same_id(case, other)
                break
        others.append(case)


def _same_id(case: UseCase, other: UseCase) -> Diagnostic:
    message = f"use case {case.id} is already in line {other.line}"
    a, b = set(case.conditions), set(other.conditions)
    if a <= b or b <= a:
        fix = "rename one, or give both conditions that exclude each other"
        return Diagnostic(case.line, case.column, message, fix, "duplicate-id")
    return Diagnostic(
        case.line,
        case.column,
        f"{message} and both can hold",
        "add !name to one of the headers if they should exclude each other",
        "duplicate-id",
        "warning",
    )


def check_examples(cases: Iterable[UseCase]) -> Iterator[Diagnostic]:
    """A diagnostic for every example that another use case has too, unless their headers cannot
    both hold.
    """
    before: dict[str, tuple[UseCase, int]] = {}
    more: dict[str, list[tuple[UseCase, int]]] = {}
    for case in cases:
        for example, line in zip(case.examples, case.example_lines, strict=True):
            key = example.casefold().rstrip(".!? ")
            first = before.setdefault(key, (case, line))
            if first[0] is case:
                continue
            others = more.setdefault(key, [first])
            for other, number in others[:_COMPARED]:
                if other.id != case.id and not exclusive(case.conditions, other.conditions):
                    message = f"{_short(example)} is an example of {other.id} too, in line {number}"
                    yield Diagnostic(line, 1, message, REUSED, "reused-example")
                    break
            others.append((case, line))


def exclusive(one: Sequence[Condition], other: Sequence[Condition]) -> bool:
    """Whether the conditions cannot all hold at once, as far as that can be worked out."""
    if set(one) <= set(other) or set(other) <= set(one):
        return False
    both = (*one, *other)
    atoms = list(dict.fromkeys(atom for condition in both for atom in _atoms(condition)))
    if len(atoms) > _WORKED_OUT:
        return False
    for truth in itertools.product((False, True), repeat=len(atoms)):
        held = dict(zip(atoms, truth, strict=True))
        steps = {atom.step for atom, true in held.items() if true and atom.kind == "step"}
        if len(steps) <= 1 and all(_holds(condition, held) for condition in both):
            return False
    return True


def _atoms(condition: Condition) -> Iterator[Condition]:
    if not condition.parts:
        yield condition
    for part in condition.parts:
        yield from _atoms(part)


def _holds(condition: Condition, held: dict[Condition, bool]) -> bool:
    match condition.kind:
        case "not":
            return not _holds(condition.parts[0], held)
        case "and":
            return all(_holds(part, held) for part in condition.parts)
        case "or":
            return any(_holds(part, held) for part in condition.parts)
        case _:
            return held[condition]


# --- against an agent -----------------------------------------------------------------------------


def check_tools(document: Document, known: Iterable[str]) -> list[Diagnostic]:
    """A diagnostic for every tool that the document names and that nobody offers."""
    tools = Meant(known)

    def fix(tool: str) -> str:
        near = tools.near(tool)
        return f"did you mean @{near}()?" if near else f"the agent's tools: {tools.listed()}"

    return [
        Diagnostic(*at, f"there is no tool {_short(tool)}", fix(tool), "unknown-tool", file=file)
        for part, file in _parts(document)
        for tool, at in _tools(part)
        if tool not in tools
    ]


def check_replies(document: Document, known: Iterable[str]) -> list[Diagnostic]:
    """A diagnostic for every `{{name}}` in a reply that nothing fills, and for sections that are
    not closed. Names inside sections are of the items, and not known here.
    """
    names = Meant(known)
    found = []
    for line, file in _parts(document):
        if not isinstance(line, Line) or "{{" not in line.text or line.reply is None:
            continue
        for tag, message, fix in mustache.check(line.reply)[:_TOLD]:
            at = _place(line, tag)
            found.append(Diagnostic(*at, message, fix, "reply", file=file))
        for name in [name for name in mustache.names(line.reply) if name not in names][:_TOLD]:
            near = names.near(name)
            fix = f"did you mean {{{{{near}}}}}?" if near else f"known: {names.listed()}"
            at, message = _place(line, name), f"nothing fills {{{{{name}}}}}"
            found.append(Diagnostic(*at, message, fix, "unknown-variable", file=file))
    return found


def check_conditions(document: Document, known: Iterable[str]) -> list[Diagnostic]:
    """A diagnostic for every condition that is a name nobody sets."""
    names = Meant([*known, *ALWAYS_KNOWN])
    found = []
    for condition, file in _conditions(document):
        for name in condition.names():
            if name.value not in names:
                near = names.near(name.value)
                fix = f"did you mean <{near}>?" if near else f"known: {names.listed()}"
                message = f"there is no condition {_short(name.value)}"
                at = (name.number, name.column)
                found.append(Diagnostic(*at, message, fix, "unknown-condition", file=file))
    return found


def check_fences(
    document: Document, languages: Collection[str] = tuple(RUNNERS)
) -> list[Diagnostic]:
    """A warning for every code fence whose language nobody runs: a model sees it as it is. A
    diagnostic for every expression that cannot be read.
    """
    found = []
    for part, file in _parts(document):
        if not isinstance(part, Fence) or not part.language:
            continue
        if part.language not in languages:
            message = f"nobody runs {part.language}, the fence stays as it is"
            fix = f"languages that run: {', '.join(languages) or 'none'}"
            at, code = (part.number, part.column), "unknown-language"
            found.append(Diagnostic(*at, message, fix, code, "warning", file))
        elif part.language == "expr":
            found += _unreadable(part, file)
    return found


def _unreadable(fence: Fence, file: str) -> Iterator[Diagnostic]:
    try:
        expressions.check(fence.code)
    except expressions.ExpressionError as error:
        number = fence.number + int(error.details.get("line", 1))
        message = error.message.partition(": ")[2] or error.message
        fix = "write it in the language of expressions"
        yield Diagnostic(number, 1, message, fix, "expression", file=file)


def _parts(document: Document) -> Iterator[tuple[Part, str]]:
    """Every part, and the file that it stands in."""
    for case in document.use_cases:
        for part in case.parts():
            yield part, case.file
    for role in document.roles:
        for part in parts_of(role.parts):
            yield part, ""


def _conditions(document: Document) -> Iterator[tuple[Condition, str]]:
    for case in document.use_cases:
        for condition in case.conditions:
            yield condition, case.file
    for part, file in _parts(document):
        if isinstance(part, Block):
            for condition in part.conditions:
                yield condition, file


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _tools(part: Part) -> Iterator[tuple[str, tuple[int, int]]]:
    """The tools that a part names, each once, and where."""
    if isinstance(part, Option):
        yield from ((tool, (part.number, part.column)) for tool in dict.fromkeys(part.tools))
    elif isinstance(part, Line) and part.tools:
        first: dict[str, int] = {}
        for found in TOOL.finditer(part.text):
            first.setdefault(found[1], found.start())
        yield from zip(first, part.positions(first.values()), strict=True)


def _place(line: Line, piece: str) -> tuple[int, int]:
    """Where the piece stands in the line."""
    return line.position(max(0, line.text.find(piece)))
