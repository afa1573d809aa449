"""Typed functions as tools: schema, validation and results come from their hints and docstrings."""

import asyncio
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticSchemaGenerationError

from lmos.arc.context import Context
from lmos.model import errors

#: Seconds that a tool may take.
TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a tool, as its function declares it."""

    name: str
    annotation: Any
    default: Any
    description: str
    pattern: str | None

    @property
    def required(self) -> bool:
        """Whether the tool cannot be called without it."""
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that an agent may call."""

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    arguments: type[BaseModel]
    function: Callable[..., Any]
    takes_context: bool
    timeout: float = TIMEOUT

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the arguments."""
        return self.arguments.model_json_schema()

    async def call(self, ctx: Context, arguments: Mapping[str, Any]) -> Any:
        """The function's result for validated arguments. `InvalidInput` when they do not fit,
        `DeadlineExceeded` when it takes too long; what the function raises goes through.
        """
        try:
            checked = self.arguments.model_validate(dict(arguments))
        except ValidationError as error:
            raise errors.InvalidInput(f"{self.name}: {_brief(error)}") from None
        given = {p.name: getattr(checked, p.name) for p in self.parameters}
        leading = (ctx,) if self.takes_context else ()
        try:
            async with asyncio.timeout(self.timeout):
                if inspect.iscoroutinefunction(self.function):
                    return await self.function(*leading, **given)
                return await asyncio.to_thread(self.function, *leading, **given)
        except TimeoutError:
            raise errors.DeadlineExceeded(
                f"{self.name} took more than {self.timeout:g} s"
            ) from None


def tool_of(function: Callable[..., Any], *, timeout: float = TIMEOUT) -> Tool:
    """The tool that a function is. `InvalidInput` says what of it cannot be used, and where."""
    place = f"{inspect.getsourcefile(function)}:{function.__code__.co_firstlineno}"
    name = function.__name__
    hints = get_type_hints(function, include_extras=True)
    parameters = list(inspect.signature(function).parameters.values())
    takes_context = bool(parameters) and hints.get(parameters[0].name) is Context
    for parameter in parameters[takes_context:]:
        if parameter.name not in hints:
            raise errors.InvalidInput(f"{place}: {name}: parameter {parameter.name} has no type")
    fields = {
        p.name: (hints[p.name], ... if p.default is p.empty else p.default)
        for p in parameters[takes_context:]
    }
    try:
        config = ConfigDict(extra="forbid", arbitrary_types_allowed=False)
        arguments = create_model(name, __config__=config, **fields)  # type: ignore[call-overload]
        schema = arguments.model_json_schema()
    except PydanticSchemaGenerationError as error:
        reason = str(error).splitlines()[0]
        raise errors.InvalidInput(f"{place}: {name}: {reason}") from None
    properties = schema.get("properties", {})
    return Tool(
        name=name,
        description=inspect.getdoc(function) or name.replace("_", " "),
        parameters=tuple(
            Parameter(
                p.name,
                hints[p.name],
                p.default,
                properties.get(p.name, {}).get("description", ""),
                properties.get(p.name, {}).get("pattern"),
            )
            for p in parameters[takes_context:]
        ),
        arguments=arguments,
        function=function,
        takes_context=takes_context,
        timeout=timeout,
    )


def plain_data(result: Any) -> Any:
    """A tool's result as mappings, lists and values, dates and amounts kept as they are."""
    return TypeAdapter(Any).dump_python(result, mode="python")


def as_text(result: Any) -> str:
    """A tool's result as a model or a caller reads it."""
    if isinstance(result, str):
        return result
    return json.dumps(TypeAdapter(Any).dump_python(result, mode="json"), ensure_ascii=False)


def _brief(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, e['loc'])) or 'arguments'}: {e['msg']}" for e in error.errors()
    )
