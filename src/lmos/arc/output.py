"""Answers of a declared type: what the model is told of it, and what it says read as one.

The type's schema goes to the model as a tool to give its answer with, which every provider offers.
Text that is JSON of the type counts as well. What does not fit goes back to the model with what is
wrong, a few times.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from lmos.model import errors

#: The tool that a model gives its answer with.
TOOL = "final_answer"
#: Times that the model may mend an answer.
REPAIRS = 2


@dataclass(frozen=True)
class Output:
    """A type of answers. One whose schema is no object is wrapped in `value` for the model."""

    type: Any

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """What validates and writes."""
        try:
            return TypeAdapter(self.type)
        except PydanticUserError as error:
            raise errors.InvalidInput(
                f"{self.type!r} cannot be read from JSON: {str(error).splitlines()[0]}"
            ) from None

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the tool's arguments."""
        found = self.adapter.json_schema()
        if self._bare:
            return found
        definitions = {"$defs": found.pop("$defs")} if "$defs" in found else {}
        properties = {"value": found}
        return {"type": "object", "properties": properties, "required": ["value"], **definitions}

    def given(self, arguments: Mapping[str, Any]) -> Any:
        """The object from the tool's arguments. `Misfit` tells what is wrong."""
        return self._read(lambda: self.adapter.validate_python(self._unwrapped(arguments)))

    def said(self, text: str) -> Any:
        """The object from text, a code fence around it or not. `Misfit` tells what is wrong."""
        bare = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```").strip()
        return self._read(lambda: self.adapter.validate_json(bare))

    def written(self, value: Any) -> str:
        """The object as JSON."""
        return self.adapter.dump_json(value).decode()

    @property
    def _bare(self) -> bool:
        return self.adapter.json_schema().get("type") == "object"

    def _unwrapped(self, arguments: Mapping[str, Any]) -> Any:
        return dict(arguments) if self._bare else arguments.get("value", dict(arguments))

    def _read(self, read: Any) -> Any:
        try:
            return read()
        except ValidationError as error:
            faults = (
                f"{'.'.join(map(str, e['loc'])) or 'answer'}: {e['msg']}" for e in error.errors()
            )
            raise Misfit("; ".join(faults)) from None


class Misfit(Exception):
    """An answer that is not of the type; the message says what is wrong with it."""
