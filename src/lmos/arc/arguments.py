"""What an agent is given, looked at when it is given: mistakes are told there, not in a turn."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from lmos.model import errors


def several(argument: str, value: Any) -> tuple[Any, ...]:
    """The values of an argument that takes several. `InvalidInput` when it is one, such as a text,
    whose letters nobody means.
    """
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise errors.InvalidInput(f"{argument}={value!r} takes several; write {argument}=[...]")
    return tuple(value)


def kind(argument: str, value: Any, type_: type, example: str) -> None:
    """`InvalidInput` when the argument is neither of the type nor None."""
    if value is not None and not isinstance(value, type_):
        raise errors.InvalidInput(f"{argument}={value!r} is no {type_.__name__}; give {example}")


def callable_with(role: str, function: Callable[..., Any], *names: str) -> None:
    """`InvalidInput` says where a function is that cannot be called with what it will be given."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # not to be known of what is written in C
        return
    try:
        signature.bind(*names)
    except TypeError:
        called = getattr(function, "__name__", type(function).__name__)
        raise errors.InvalidInput(
            f"{_place(function)}{called}{signature} cannot be {role}; "
            f"it is called with ({', '.join(names)})"
        ) from None


def tools_of(given: Any) -> Sequence[Any]:
    """What a function that chooses the tools of a turn gave. `InvalidInput` when it was a tool
    itself.
    """
    if given is None:
        return ()
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise errors.InvalidInput(
            f"tools is a function, which is asked for a list of tools in each turn, and it gave "
            f"{type(given).__name__}; if it is a tool itself, write tools=[...]"
        )
    return given


def _place(function: Any) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}: " if code else ""
