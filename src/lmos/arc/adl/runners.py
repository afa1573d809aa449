"""Code fences: who runs which language, and what is left of the fence."""

from collections.abc import Callable, Mapping
from typing import Any

from lmos.arc.adl import expressions, mustache
from lmos.arc.adl.ast import Fence
from lmos.model import errors

#: Runs code over the values that are given and returns the text that stands in its place.
Runner = Callable[[str, Mapping[str, Any]], str]
Runners = Mapping[str, Runner]


class FenceFailed(errors.AgentFailed):
    """The code of a fence failed; names the use case, the line and the reason."""


def run_expression(code: str, values: Mapping[str, Any]) -> str:
    """The value of the safe expression language, written as a person does."""
    return mustache.plain(expressions.evaluate(code, values))


#: The languages that are run unless others are given.
RUNNERS: Runners = {"expr": run_expression}


def run_fence(fence: Fence, values: Mapping[str, Any], runners: Runners, where: str) -> str:
    """The text in place of the fence; the fence itself where nobody runs its language. Whatever a
    runner raises is a `FenceFailed`.
    """
    runner = runners.get(fence.language)
    if runner is None:
        return fence.text
    try:
        return runner(fence.code, values)
    except Exception as error:
        raise FenceFailed(
            f"the code in line {fence.number} of {where} failed: {error}",
            use_case=where,
            line=fence.number,
        ) from error
