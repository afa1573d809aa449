"""What a model sees of use cases, as the original writes it.

A section is written line by line into a buffer. A condition writes the buffer out and begins it
anew, `</>` keeps or drops it. So the lines before a condition are always there, and `else` holds
where no condition of the whole section does.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from lmos.arc.adl.compat.document import (
    ArcLine,
    ArcUseCase,
    Lines,
    Names,
    expressions_that_hold,
    holds,
    satisfied,
)

#: Uses after which a fallback is shown.
FALLBACK_LIMIT = 2
#: Examples shown when use cases are loaded for a prompt.
EXAMPLE_LIMIT = 4

#: Runs the code of a fence of its language.
Run = Callable[[str], str]
#: The last word on the text of a use case.
Format = Callable[[str, ArcUseCase], str]


@dataclass(frozen=True, slots=True)
class Output:
    """What is written of a use case."""

    solution: bool = True
    examples: bool = True
    example_limit: int = EXAMPLE_LIMIT


def render(
    use_cases: Sequence[ArcUseCase],
    names: Names = frozenset(),
    *,
    text: str | None = None,
    used: Sequence[str] = (),
    step: int | None = None,
    fallback_limit: int = FALLBACK_LIMIT,
    output: Output = Output(),
    runners: Mapping[str, Run] | None = None,
    format: Format | None = None,
) -> str:
    """The use cases for a prompt. `names` are the conditions that hold, `text` is the user's latest
    message, `used` are the ids of the use cases used so far, in order.
    """
    use_fallback = fallbacks(use_cases, used, fallback_limit)
    there = [c for c in use_cases if not c.sub and holds(c.conditions, _of_header(c, names, text))]
    uses = Counter(used)
    written = []
    for case in _best(there, names, text):
        at = step if step is not None else uses[case.id] + 1
        held = {*names, f"step_{at}", *expressions_that_hold(_conditions(case), text)}
        solution: Lines = "solution"
        if uses[case.id] and case.section("alternativeSolution"):
            solution = "alternativeSolution"
        if case.id in use_fallback and case.section("fallbackSolution"):
            solution = "fallbackSolution"
        one = _use_case(case, held, solution, output, runners or {})
        written.append(format(one, case) if format else one)
    return "".join(written).replace("\n\n\n", "\n\n")


def fallbacks(
    use_cases: Sequence[ArcUseCase], used: Sequence[str], limit: int = FALLBACK_LIMIT
) -> Set[str]:
    """The ids whose fallback is due: used `limit` times in all, or as often in a row as their own
    execution limit says. A higher execution limit does not put it off, as in the original.
    """
    limits = {case.id: case.limit for case in use_cases if case.limit is not None}
    found = {id_ for id_, uses in Counter(used).items() if uses >= limit}
    for id_, run in itertools.groupby(used):
        if sum(1 for _ in run) >= limits.get(id_, limit):
            found.add(id_)
    return found


def _of_header(case: ArcUseCase, names: Names, text: str | None) -> set[str]:
    return {*names, *expressions_that_hold(iter(case.conditions), text)}


def _best(cases: Sequence[ArcUseCase], names: Names, text: str | None) -> Iterator[ArcUseCase]:
    """One use case of each id: that of which most conditions hold, the first of equal ones."""
    by_id: dict[str, list[ArcUseCase]] = {}
    for case in cases:
        by_id.setdefault(case.id, []).append(case)
    for same in by_id.values():
        yield max(same, key=lambda c: satisfied(c.conditions, _of_header(c, names, text)))


def _conditions(case: ArcUseCase) -> Iterator[str]:
    yield from case.conditions
    for lines in case.lines.values():
        for line in lines:
            yield from line.conditions


def _use_case(
    case: ArcUseCase, held: Names, solution: Lines, output: Output, runners: Mapping[str, Run]
) -> str:
    out = [f"### UseCase: {case.id}\n#### Description\n{_description(case.description)}\n"]
    if case.section("goal"):
        out += ["#### Goal\n", _section(case.section("goal"), held)]
    if output.solution:
        if case.section("steps"):
            out += ["#### Steps\n", _section(case.section("steps"), held)]
        out += ["#### Solution\n", _section(case.section(solution), held, runners)]
        if case.section("context"):
            out += ["#### Context\n", _section(case.section("context"), held, runners)]
    if output.examples and case.examples:
        lines = case.examples.split("\n")[: output.example_limit]
        out += ["#### Examples\n", *(f"{line}\n" for line in lines)]
    out.append("\n----\n\n")
    return "".join(out)


def _description(text: str) -> str:
    """The description with what a margin is taken for left out: from its second line on, blanks and
    a `|` at the beginning of a line, as in tables.
    """
    first, *rest = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    cut = (line.lstrip()[1:] if line.lstrip().startswith("|") else line for line in rest)
    return "\n".join([first, *cut])


def _section(
    lines: Sequence[ArcLine], names: Names, runners: Mapping[str, Run] | None = None
) -> str:
    held = names if _any_holds(lines, names) else {*names, "else"}
    out: list[str] = []
    buffer: list[str] = []
    opened: tuple[str, ...] = ()
    for line in lines:
        if line.ends and not line.conditions:
            if holds(opened, held):
                out += buffer
                if line.text:
                    out.append(f"{line.text}\n")
            buffer, opened = [], ()
            continue
        if line.conditions:
            out += buffer
            buffer, opened = [], line.conditions
        if holds(line.conditions, held):
            buffer.append(f"{line.text}\n")
    rest = "".join(buffer)
    return "".join(out) + (_run_fences(rest, runners) if runners else rest)


def _any_holds(lines: Sequence[ArcLine], names: Names) -> bool:
    conditions = {c for line in lines for c in line.conditions if c != "else"}
    return any(holds((condition,), names) for condition in conditions)


def _run_fences(text: str, runners: Mapping[str, Run]) -> str:
    """The text with the fences of known languages as what their code gives."""
    lines = text.split("\n")
    out: list[str] = []
    at = 0
    while at < len(lines):
        end = _end_of_fence(lines, at)
        language = lines[at].lstrip().removeprefix("```").strip()
        if end is None or language not in runners:
            end = at if end is None else end
            out += lines[at : end + 1]
        else:
            out.append(runners[language]("\n".join(lines[at + 1 : end])))
        at = end + 1
    return "\n".join(out)


def _end_of_fence(lines: Sequence[str], start: int) -> int | None:
    """The line that ends the fence begun at the start; None where none begins or ends."""
    if not lines[start].lstrip().startswith("```"):
        return None
    closing = (i for i in range(start + 1, len(lines)) if lines[i].lstrip().startswith("```"))
    return next(closing, None)
