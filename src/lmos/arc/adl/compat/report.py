"""What the original's editor is told of a document: its use cases as JSON and what is wrong."""

import re
from collections.abc import Iterable, Mapping

from lmos.arc.adl.compat.document import ArcUseCase
from lmos.arc.adl.compat.reader import ArcSyntaxError, read

Report = dict[str, object]

_LINE_END = re.compile(r"\r\n|\n|\r")


def report(text: str) -> Report:
    """The answer of `POST /arc/usecases`: `useCases`, `useCaseCount`, `errors`."""
    try:
        cases = read(text)
    except ArcSyntaxError as error:
        syntax = {"code": "SYNTAX_ERROR", "useCases": [], "message": error.message}
        return {"useCases": [], "useCaseCount": 0, "errors": [syntax]}
    found = [error for error in (_duplicate_ids(cases), _reused_examples(cases)) if error]
    return {
        "useCases": [case.wire() for case in cases],
        "useCaseCount": len(cases),
        "errors": found,
    }


def _duplicate_ids(cases: Iterable[ArcUseCase]) -> Mapping[str, object] | None:
    before: dict[str, ArcUseCase] = {}
    duplicates: dict[str, None] = {}
    for case in cases:
        other = before.get(case.id)
        if other and _overlap(case, other):
            duplicates[case.id] = None
        before[case.id] = case
    if not duplicates:
        return None
    message = f"Duplicate use case IDs found: {', '.join(duplicates)}"
    return {"code": "DUPLICATE_USE_CASE_IDS", "useCases": list(duplicates), "message": message}


def _reused_examples(cases: Iterable[ArcUseCase]) -> Mapping[str, object] | None:
    before: dict[str, ArcUseCase] = {}
    ids: dict[str, None] = {}
    examples: dict[str, None] = {}
    for case in cases:
        for example in map(str.strip, filter(None, _LINE_END.split(case.examples))):
            other = before.get(example)
            if other and other.id != case.id and _overlap(case, other):
                ids |= {other.id: None, case.id: None}
                examples[example] = None
            before[example] = case
    if not ids:
        return None
    message = (
        f"The same examples were used in multiple Use Cases: [{', '.join(ids)}]"
        f" Examples: [{', '.join(examples)}]"
    )
    return {
        "code": "REUSED_EXAMPLES",
        "useCases": list(ids),
        "examples": list(examples),
        "message": message,
    }


def _overlap(one: ArcUseCase, other: ArcUseCase) -> bool:
    """Whether the headers can hold at once: one's conditions are among the other's."""
    a, b = set(one.conditions), set(other.conditions)
    return a <= b or b <= a
