"""A model that says what a script tells it, for tests of agents. Everything around it is real.

    scripted = ScriptedModel(Call("get_bill"), "It is 42.50 EUR.")
    agent = Agent(name="billing", model=scripted.model, tools=[get_bill])

A reply is a text, tool calls, data (where the agent asks for a type), an error, `Say` for more than
one of these, or a function of the `Request`. What the model was sent is in `scripted.requests`.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage
    from pydantic_ai.models import Model, ModelRequestParameters
    from pydantic_ai.settings import ModelSettings


@dataclass(frozen=True)
class Call:
    """A tool call that the model makes. Arguments given as text are sent as they are."""

    tool: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """The provider answers with an HTTP error instead, such as 429 or 503. `retry_after` is in
    seconds.
    """

    status: int
    body: Any = None
    retry_after: float | None = None


@dataclass(frozen=True)
class Say:
    """A reply in full. `thinking` comes first, then `text`, then `calls`, then `error` if there is
    one: a stream that breaks off. `delay` is in seconds; tokens are estimated unless given.
    """

    text: str = ""
    calls: Sequence[Call] = ()
    thinking: str = ""
    error: BaseException | Refusal | None = None
    delay: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True)
class Result:
    """What the model was told that a tool gave back."""

    tool: str
    content: Any


@dataclass(frozen=True)
class Request:
    """What the model was sent: a sequence of pydantic-ai's messages, with what is asked of them."""

    messages: Sequence["ModelMessage"]
    parameters: "ModelRequestParameters"
    settings: "ModelSettings | None" = None

    def __len__(self) -> int:
        return len(self.messages)

    def __iter__(self) -> "Iterator[ModelMessage]":
        return iter(self.messages)

    def __getitem__(self, index: int) -> "ModelMessage":
        return self.messages[index]

    @cached_property
    def system(self) -> str:
        """The system prompt and the instructions."""
        said = [str(p.content) for p in self._parts("system-prompt")]
        given = {i for m in self.messages if (i := getattr(m, "instructions", None))}
        return "\n\n".join([*said, *given])

    @cached_property
    def text(self) -> str:
        """What the user said last."""
        said = self._parts("user-prompt")
        return str(said[-1].content) if said else ""

    @cached_property
    def tools(self) -> tuple[str, ...]:
        """The names of the tools that the model may call."""
        return tuple(tool.name for tool in self.parameters.function_tools)

    @cached_property
    def results(self) -> tuple[Result, ...]:
        """What tools gave back since the user spoke, in the order of the calls."""
        found: list[Result] = []
        for message in self.messages:
            for part in message.parts:
                if part.part_kind == "user-prompt":
                    found.clear()
                elif part.part_kind == "tool-return":
                    found.append(Result(part.tool_name, part.content))
        return tuple(found)

    def assert_told(self, *words: str) -> None:
        """Fails unless the system prompt has each of the words."""
        missing = [w for w in words if w not in self.system]
        assert not missing, f"the model was not told {missing}; it was told:\n{self.system}"

    def assert_offered(self, *tools: str) -> None:
        """Fails unless the model may call each of the tools."""
        missing = [t for t in tools if t not in self.tools]
        assert not missing, f"the model was not offered {missing}; it was offered {self.tools}"

    def assert_result(self, tool: str, words: str = "") -> None:
        """Fails unless the tool gave back something with the words since the user spoke."""
        found = [str(r.content) for r in self.results if r.tool == tool]
        assert any(words in content for content in found), (
            f"no result of {tool} has {words!r}; results: {list(self.results)}"
        )

    def _parts(self, kind: str) -> list[Any]:
        return [part for m in self.messages for part in m.parts if part.part_kind == kind]


Spoken = str | Call | Sequence[Call] | Mapping[str, Any] | BaseModel | BaseException | Refusal | Say
#: One reply of the model.
Reply = Spoken | Callable[[Request], Spoken | Awaitable[Spoken]]


class ScriptedModel:
    """Gives its replies one after the other, the last one for ever; with `strict`, a request after
    the last reply fails. `requests` holds the newest requests, as many as `keep` (None: all).
    `delay` is waited before each reply, in seconds.
    """

    def __init__(
        self,
        *replies: Reply,
        delay: float = 0.0,
        strict: bool = False,
        keep: int | None = None,
        name: str = "scripted",
    ) -> None:
        self._replies = replies or ("",)
        self._delay = delay
        self._strict = strict
        self._keep = keep
        self.name = name
        self.requests: list[Request] = []
        #: How many requests were made.
        self.count = 0

    @cached_property
    def model(self) -> "Model":
        """The model to give to an agent: `Agent(model=scripted.model)`."""
        from lmos.llm.speaking import SpeakingModel

        return SpeakingModel(self)

    @property
    def last(self) -> Request:
        """The newest request."""
        assert self.requests, "the model was sent nothing"
        return self.requests[-1]

    def assert_done(self) -> None:
        """Fails unless the model was asked for each of its replies."""
        asked, there = self.count, len(self._replies)
        assert asked >= there, f"the script has {there} replies, and {asked} requests were made"

    async def reply(self, request: Request) -> Say:
        """The script's next reply, to a request that is remembered."""
        self._remember(request)
        if self._strict and self.count > len(self._replies):
            raise AssertionError(
                f"the script has {len(self._replies)} replies; this is request {self.count}: "
                f"{request.text!r} after {list(request.results)}"
            )
        spoken = self._replies[min(self.count, len(self._replies)) - 1]
        if callable(spoken):
            made = spoken(request)
            spoken = await made if inspect.isawaitable(made) else made
        said = _in_full(spoken, request)
        if delay := self._delay if said.delay is None else said.delay:
            await asyncio.sleep(delay)
        return said

    def _remember(self, request: Request) -> None:
        self.count += 1
        if self._keep == 0:
            return
        self.requests.append(request)
        if self._keep is not None:
            del self.requests[: -self._keep]


def _in_full(spoken: Any, request: Request) -> Say:
    """The reply as `Say`. Data goes into the tool for the agent's output where there is one."""
    if isinstance(spoken, Say):
        return spoken
    if isinstance(spoken, str):
        return Say(spoken)
    if isinstance(spoken, Call):
        return Say(calls=(spoken,))
    if isinstance(spoken, (BaseException, Refusal)):
        return Say(error=spoken)
    if isinstance(spoken, Mapping):
        import json

        return _data(spoken, json.dumps(dict(spoken)), request)
    if isinstance(spoken, BaseModel):
        return _data(spoken.model_dump(mode="json"), spoken.model_dump_json(), request)
    return Say(calls=tuple(spoken))


def _data(data: Mapping[str, Any], text: str, request: Request) -> Say:
    if outputs := request.parameters.output_tools:
        return Say(calls=(Call(outputs[0].name, dict(data)),))
    return Say(text)
