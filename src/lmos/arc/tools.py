"""Typed functions as tools: schema, validation and results come from their hints and docstrings.

A first parameter of type `Context` is given the turn; one of type `Dep[X]` the agent's dependency
of type X. Neither is part of what a model sees.
"""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, NoReturn, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic_core import PydanticSerializationError

from lmos.arc import words
from lmos.arc.context import INJECTED, Context
from lmos.arc.docstrings import Docstring, docstring_of
from lmos.arc.signals import Signal
from lmos.model import errors

#: Seconds that a tool may take, and that are waited before it is tried again the first time.
TIMEOUT, FIRST_WAIT = 30.0, 0.1
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any, config=ConfigDict(ser_json_bytes="base64"))


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
    """A function that an agent may call. `schema` is the JSON schema of its arguments.

    `timeout` is in seconds, for each try; `retries` are made when it raises what is no `LmosError`.
    A `sensitive` one is called only after the caller has approved the call.
    """

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    schema: Mapping[str, Any]
    arguments: type[BaseModel]
    function: Callable[..., Any]
    takes_context: bool
    injected: Mapping[str, type] = field(default_factory=dict)
    timeout: float = TIMEOUT
    retries: int = 0
    sensitive: bool = False

    async def call(self, ctx: Context, arguments: Mapping[str, Any]) -> Any:
        """The function's result for validated arguments. `InvalidInput` when they do not fit,
        `DeadlineExceeded` when it takes too long; what the function raises goes through.
        """
        try:
            checked = self.arguments.model_validate(dict(arguments))
        except ValidationError as error:
            raise errors.InvalidInput(f"{self.name}: {_brief(error)}") from None
        given = {p.name: getattr(checked, f"p{i}") for i, p in enumerate(self.parameters)}
        given |= checked.model_extra or {}
        given |= {name: ctx.deps(type_) for name, type_ in self.injected.items()}
        leading = (ctx,) if self.takes_context else ()
        for wait in (FIRST_WAIT * 2**n for n in range(self.retries)):
            try:
                return await self._timed(leading, given)
            except (errors.LmosError, Signal):
                raise
            except Exception:
                await asyncio.sleep(wait)
        return await self._timed(leading, given)

    def faults(self, arguments: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with the arguments that are given, by parameter; empty when nothing is."""
        try:
            self.arguments.model_validate(dict(arguments))
        except ValidationError as error:
            return {str(e["loc"][0]): e["msg"] for e in error.errors() if e["type"] != "missing"}
        return {}

    def named(self, name: str) -> "Tool":
        """The same tool under another name."""
        return replace(self, name=name)

    async def _timed(self, leading: tuple[Any, ...], given: Mapping[str, Any]) -> Any:
        try:
            async with asyncio.timeout(self.timeout) as time:
                return await self._run(*leading, **given)
        except TimeoutError:
            if not time.expired():
                raise
            message = f"{self.name} took more than {self.timeout:g} s"
            raise errors.DeadlineExceeded(message) from None

    async def _run(self, *leading: Any, **given: Any) -> Any:
        """The result; what is not async runs in a thread."""
        if inspect.iscoroutinefunction(self.function):
            return await self.function(*leading, **given)
        result = await asyncio.to_thread(self.function, *leading, **given)
        return await result if inspect.isawaitable(result) else result


def tool_of(
    function: Callable[..., Any],
    *,
    name: str = "",
    timeout: float = TIMEOUT,
    retries: int = 0,
    sensitive: bool = False,
) -> Tool:
    """The tool that a function is. `InvalidInput` says what of it cannot be used, and where."""
    if not inspect.isroutine(function) or not hasattr(function, "__code__"):
        raise errors.InvalidInput(f"{function!r} is no tool; give a function with types")
    says = docstring_of(function)
    hints = _hints(function)
    signature = list(inspect.signature(function).parameters.values())
    takes_context = bool(signature) and _is_context(hints.get(signature[0].name))
    injected = {n: get_args(h)[0] for n, h in hints.items() if n != "return" and _is_injected(h)}
    declared = [p for p in signature[takes_context:] if p.name not in injected]
    _check(function, declared, hints)
    arguments, schema = _arguments(function, declared, hints, says)
    properties = schema.get("properties", {})
    parameters = tuple(_parameter(p, hints[p.name], properties.get(p.name, {})) for p in declared)
    name = name or function.__name__
    return Tool(
        name=name,
        description=says.text or name.replace("_", " "),
        parameters=parameters,
        schema=schema,
        arguments=arguments,
        function=function,
        takes_context=takes_context,
        injected=injected,
        timeout=timeout,
        retries=retries,
        sensitive=sensitive,
    )


def plain_data(result: Any) -> Any:
    """A tool's result as mappings, lists and values, dates and amounts kept as they are."""
    return _ANYTHING.dump_python(result, mode="python")


def as_text(result: Any) -> str:
    """A tool's result as a model or a caller reads it. `LmosError` when it is no data."""
    if isinstance(result, str):
        return result
    try:
        return _ANYTHING.dump_json(result).decode()
    except PydanticSerializationError:
        kind = type(result).__name__
        raise errors.LmosError(f"the result ({kind}) cannot be written as JSON") from None


# --- reading a function ---------------------------------------------------------------------------


def _fail(function: Callable[..., Any], message: str) -> NoReturn:
    inner = inspect.unwrap(function)
    place = f"{inspect.getsourcefile(inner)}:{inner.__code__.co_firstlineno}"
    raise errors.InvalidInput(f"{place}: {function.__name__}: {message}") from None


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        _fail(function, f"a type cannot be read: {error}")


def _is_context(hint: Any) -> bool:
    return hint is Context or Context in get_args(hint)


def _is_injected(hint: Any) -> bool:
    return get_origin(hint) is Annotated and INJECTED in get_args(hint)[1:]


def _check(
    function: Callable[..., Any], declared: list[inspect.Parameter], hints: Mapping[str, Any]
) -> None:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        _fail(function, "a tool returns its result; this one yields")
    for parameter in declared:
        if parameter.kind not in _NAMED:
            _fail(function, f"{parameter} cannot be filled by name; name every parameter")
        if parameter.name not in hints:
            _fail(function, f"parameter {parameter.name} has no type")
        if _is_context(hints[parameter.name]):
            _fail(function, f"{parameter.name} is a Context; make it the first parameter")
        if strange := words.strange(hints[parameter.name]):
            _fail(function, f"parameter {parameter.name}: {strange}")


def _arguments(
    function: Callable[..., Any],
    declared: list[inspect.Parameter],
    hints: Mapping[str, Any],
    says: Docstring,
) -> tuple[type[BaseModel], dict[str, Any]]:
    """The model that checks arguments, and its schema. Its fields have names of their own, so that
    a parameter may be called anything.
    """
    fields: dict[str, Any] = {}
    for index, p in enumerate(declared):
        default = ... if p.default is p.empty else p.default
        hint = _described(hints[p.name], says.parameters.get(p.name, ""))
        fields[f"p{index}"] = (hint, Field(default, alias=p.name))
    try:
        made = create_model(function.__name__, __config__=ConfigDict(extra="forbid"), **fields)
        return made, made.model_json_schema()
    except PydanticUserError as error:
        _fail(function, f"{str(error).splitlines()[0]}")


def _described(hint: Any, text: str) -> Any:
    """The type with the docstring's words for it, which its own description goes before."""
    if not text:
        return hint
    bare, *extras = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    return Annotated[(bare, Field(description=text), *extras)]


def _parameter(declared: inspect.Parameter, hint: Any, schema: Mapping[str, Any]) -> Parameter:
    described = schema.get("description", "")
    return Parameter(declared.name, hint, declared.default, described, _pattern(schema))


def _pattern(schema: Mapping[str, Any]) -> str | None:
    """The pattern of a parameter, that of `str | None` too."""
    options = (schema, *schema.get("anyOf", ()))
    return next((o["pattern"] for o in options if "pattern" in o), None)


def _brief(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, e['loc'])) or 'arguments'}: {e['msg']}" for e in error.errors()
    )
