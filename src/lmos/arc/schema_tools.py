"""Tools from a JSON schema instead of a function's types: those of others, over a wire."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field, create_model

from lmos.arc.context import Context
from lmos.arc.tools import TIMEOUT, Parameter, Tool

_TYPES: Mapping[Any, Any] = {
    "string": str,
    "integer": int,
    "number": int | float,
    "boolean": bool,
    "array": list[Any],
    "object": dict[str, Any],
    "null": None,
}


class _Unset:
    """Stands for an argument that was not given."""

    def __repr__(self) -> str:
        return "unset"


UNSET = _Unset()


def tool_of_schema(
    name: str,
    description: str,
    schema: Mapping[str, Any],
    call: Callable[[Context, dict[str, Any]], Awaitable[Any]],
    *,
    timeout: float = TIMEOUT,
) -> Tool:
    """The tool whose arguments the schema describes; `call` gets those that were given.

    Arguments are checked for being there and for their types; whoever answers the call checks the
    rest. `timeout` is in seconds.
    """

    async def function(ctx: Context, /, **given: Any) -> Any:
        return await call(ctx, {k: v for k, v in given.items() if v is not UNSET})

    properties: Mapping[str, Any] = schema.get("properties") or {}
    required = set(schema.get("required") or ())
    parameters = tuple(_parameter(n, _object(p), n in required) for n, p in properties.items())
    fields: dict[str, Any] = {
        f"p{i}": (p.annotation, Field(... if p.required else UNSET, alias=p.name))
        for i, p in enumerate(parameters)
    }
    extra: Literal["allow", "forbid"] = (
        "forbid" if schema.get("additionalProperties") is False else "allow"
    )
    return Tool(
        name=name,
        description=description,
        parameters=parameters,
        schema={"type": "object", "properties": {}, **schema},
        arguments=create_model(name, __config__=ConfigDict(extra=extra), **fields),
        function=function,
        takes_context=True,
        timeout=timeout,
    )


def _object(schema: Any) -> Mapping[str, Any]:
    """A property's schema; `true` allows anything."""
    return schema if isinstance(schema, Mapping) else {}


def _parameter(name: str, schema: Mapping[str, Any], required: bool) -> Parameter:
    default = inspect.Parameter.empty if required else UNSET
    description, pattern = schema.get("description") or "", schema.get("pattern")
    return Parameter(name, _annotation(schema), default, description, pattern)


def _annotation(schema: Mapping[str, Any]) -> Any:
    """The Python type nearest to the schema; Any where it is put together from several."""
    values = schema.get("enum")
    if isinstance(values, list) and values and all(isinstance(v, str | int) for v in values):
        return Literal[tuple(values)]
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    if not kinds or any(k not in _TYPES for k in kinds):
        return Any
    found = _TYPES[kinds[0]]
    for other in kinds[1:]:
        found = found | _TYPES[other]
    return found
