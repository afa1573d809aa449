"""A model that says what a script tells it, for tests of agents. Everything around it is real."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic_ai.models.function import FunctionModel


@dataclass(frozen=True)
class Call:
    """A tool call that the model makes."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


#: One reply of the model: text, or tool calls made together.
Reply = str | Call | tuple[Call, ...]


class ScriptedModel:
    """Gives its replies one after the other, the last one for ever. `requests` holds the messages
    of each request, as pydantic-ai sent them; `delay` is waited before each reply, in seconds.
    """

    def __init__(self, *replies: Reply, delay: float = 0.0) -> None:
        self._replies = replies or ("",)
        self._delay = delay
        self.requests: list[list[Any]] = []

    @property
    def model(self) -> "FunctionModel":
        """The model to give to an agent: `Agent(model=scripted.model)`."""
        from pydantic_ai.models.function import FunctionModel

        return FunctionModel(stream_function=self._stream, model_name="scripted")

    async def _stream(self, messages: list[Any], info: Any) -> AsyncIterator[Any]:
        from pydantic_ai.models.function import DeltaToolCall

        self.requests.append(list(messages))
        reply = self._replies[min(len(self.requests), len(self._replies)) - 1]
        await asyncio.sleep(self._delay)
        if isinstance(reply, str):
            for word in _words(reply):
                yield word
            return
        import json

        for number, call in enumerate((reply,) if isinstance(reply, Call) else reply):
            arguments = json.dumps(dict(call.arguments))
            identity = f"call-{len(self.requests)}-{number}"
            yield {number: DeltaToolCall(call.tool, arguments, tool_call_id=identity)}


def _words(text: str) -> list[str]:
    """The text in pieces, as a model streams it."""
    words = text.split(" ")
    return [word + " " for word in words[:-1]] + words[-1:]
