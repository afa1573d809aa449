"""Answering with a language model: its text streams out, the tools it calls are run side by side.

The loop goes on until the model answers without calling tools. What a tool gives back, an error
included, goes to the model. The model layer is pydantic-ai's; the loop is ours.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lmos.arc import approval
from lmos.arc.context import Context, Datum
from lmos.arc.output import REPAIRS, TOOL, Misfit, Output
from lmos.arc.running import Wanted, run_tools
from lmos.arc.tools import Tool
from lmos.llm.asking import Models, history_of, usage_of
from lmos.model import Message, TextDelta, TurnEvent, Usage, errors

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import ModelRequestParameters


@dataclass
class Spoken:
    """What came of the turn: the text, what it took, and the object of a declared type."""

    text: str = ""
    usage: Usage = field(default_factory=Usage)
    value: Any = None


@dataclass(frozen=True)
class Toolbox:
    """Tools by their names, and the type of the answer where one is declared."""

    tools: Mapping[str, Tool]
    output: Output | None = None

    @cached_property
    def sensitive(self) -> bool:
        """Whether a call may need approval."""
        return any(tool.sensitive for tool in self.tools.values())

    @cached_property
    def parameters(self) -> "ModelRequestParameters":
        """What a request tells the model of them."""
        from pydantic_ai.models import ModelRequestParameters
        from pydantic_ai.tools import ToolDefinition

        defined = [
            ToolDefinition(
                name=tool.name,
                description=tool.description,
                parameters_json_schema=dict(tool.schema),
            )
            for tool in self.tools.values()
        ]
        if self.output is None:
            return ModelRequestParameters(function_tools=defined)
        answer = ToolDefinition(
            name=TOOL,
            description="Gives the answer. Call it once all that it needs is known.",
            parameters_json_schema=self.output.schema,
            kind="output",
        )
        return ModelRequestParameters(
            function_tools=defined, output_tools=[answer], output_mode="tool"
        )


class Loop:
    """One turn with a model. `run` gives its events and fills `spoken`."""

    def __init__(
        self,
        models: Models,
        ctx: Context,
        toolbox: Toolbox,
        missing: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self.spoken = Spoken()
        self._models = models
        self._ctx = ctx
        self._toolbox = toolbox
        self._output = toolbox.output
        self._missing = missing
        self._history: list[ModelMessage] = []
        self._repairs = 0

    async def run(self, prompt: str) -> AsyncGenerator[TurnEvent, None]:
        """Asks the model until it answers."""
        self._ctx.data.append(Datum("system prompt", prompt))
        self._ctx.watch.shown("system prompt", prompt)
        self._history = history_of(self._hidden(prompt), self._messages(self._ctx.messages))
        async with aclosing(self._resumed()) as events:
            async for event in events:
                yield event
        while True:
            response: ModelResponse | None = None
            before = self.spoken.text
            held = self._output is not None or bool(self._missing())
            async with aclosing(self._asked()) as pieces:
                async for piece in pieces:
                    if not isinstance(piece, str):
                        response = piece
                    elif not held:
                        yield self._say(piece, before)
            assert response is not None
            self.spoken.usage = self.spoken.usage.plus(usage_of(response, self._models.budget))
            calls = self._wanted(response)
            answered = self._answered(response, calls)
            if held and self._output is None and response.text and (answered or calls):
                yield self._say(response.text, before)
            if answered:
                return
            async with aclosing(self._called(response, calls)) as events:
                async for event in events:
                    yield event

    def _say(self, text: str, before: str) -> TextDelta:
        """The text as said; a line is left between what is said before and after tools."""
        if before and self.spoken.text == before:
            text = f"\n\n{text}"
        self.spoken.text += text
        return TextDelta(text=text)

    def _asked(self) -> "AsyncGenerator[str | ModelResponse, None]":
        if self._ctx.watch.on:
            return self._watched()
        return self._models.stream(self._history, self._toolbox.parameters, self.spoken.usage)

    async def _watched(self) -> "AsyncGenerator[str | ModelResponse, None]":
        models, history, parameters = self._models, self._history, self._toolbox.parameters
        with self._ctx.watch.llm(models, history, parameters) as seen:
            asked = models.stream(history, parameters, self.spoken.usage)
            async with aclosing(asked) as pieces:
                async for piece in pieces:
                    if not isinstance(piece, str):
                        seen.told(piece)
                    yield piece

    # --- what a disguise hides --------------------------------------------------------------------

    def restored(self, text: str) -> str:
        """What the model says, with the values that were hidden from it."""
        return self._ctx.disguise.restore(text) if self._ctx.disguise else text

    def _hidden(self, text: str) -> str:
        return self._ctx.disguise.hide(text) if self._ctx.disguise else text

    def _messages(self, messages: Sequence[Message]) -> Sequence[Message]:
        if self._ctx.disguise is None:
            return messages
        return [message.but(content=self._hidden(message.content)) for message in messages]

    # --- tools ------------------------------------------------------------------------------------

    def _wanted(self, response: "ModelResponse") -> list[Wanted]:
        calls = [_wanted(part, self._toolbox.tools) for part in response.tool_calls]
        if (disguise := self._ctx.disguise) and disguise.tools_see_values:
            for call in calls:
                call.arguments = disguise.restore_in(call.arguments)
        return calls

    async def _called(
        self, response: "ModelResponse", calls: list[Wanted]
    ) -> AsyncGenerator[TurnEvent, None]:
        """The calls made, and what they gave put before the model."""
        if not calls:
            return
        self._history.append(response)
        given = [call for call in calls if self._output and call.name == TOOL]
        calls = [call for call in calls if not (self._output and call.name == TOOL)]
        if waiting := approval.sensitive(calls):
            raise await approval.ask(self._ctx, self._history, waiting)
        if calls:
            async for event in run_tools(self._ctx, calls):
                yield event
        self._tell([*calls, *given])

    async def _resumed(self) -> AsyncGenerator[TurnEvent, None]:
        """The calls that waited for the user's approval, made or refused."""
        if not self._toolbox.sensitive:
            return
        found = await approval.pending(self._ctx)
        if found is None:
            return
        response: Any = found.history[-1]
        decided = approval.verdict(self._ctx)
        calls = self._wanted(response)
        for call in calls:
            if call.id in found.waiting and not decided:
                call.tool, call.error = None, approval.DENIED
        self._history = found.history
        async for event in run_tools(self._ctx, calls):
            yield event
        self._tell(calls)
        if decided is None:  # the user spoke of something else, which is to be answered as well
            self._history += history_of("", self._messages(self._ctx.messages[-1:]))

    def _tell(self, calls: Sequence[Wanted]) -> None:
        from pydantic_ai.messages import ModelRequest

        if calls:
            self._history.append(ModelRequest(parts=self._returns(calls)))

    def _returns(self, calls: Sequence[Wanted]) -> "list[Any]":
        from pydantic_ai.messages import ToolReturnPart

        return [
            ToolReturnPart(
                tool_name=call.name, content=self._hidden(call.text), tool_call_id=call.id
            )
            for call in calls
        ]

    # --- the end ----------------------------------------------------------------------------------

    def _answered(self, response: "ModelResponse", calls: list[Wanted]) -> bool:
        """Whether this is the answer. One that is not of the declared type is to be mended."""
        if not calls and (names := self._missing()):
            listed = " and ".join(names)
            self._mended(response, None, f"Call {listed} before you answer.", f"called no {listed}")
            return False
        if self._output is None:
            return not calls
        final = next((call for call in calls if call.name == TOOL), None)
        if calls and final is None:
            return False
        try:
            if final is not None:
                self.spoken.value = self._output.given(final.arguments)
            else:
                self.spoken.value = self._output.said(self.restored(response.text or ""))
        except Misfit as misfit:
            again = f"{misfit}. Call {TOOL} again with that mended."
            if final is None:
                again = f"That is not the answer's type: {misfit}. Give it with {TOOL}."
            self._mended(response, final, again, f"gave no answer of the type: {misfit}")
            return False
        self.spoken.text = self._output.written(self.spoken.value)
        return True

    def _mended(
        self, response: "ModelResponse", final: Wanted | None, again: str, why: str
    ) -> None:
        """Puts before the model what is wrong with its answer, a few times."""
        from pydantic_ai.messages import ModelRequest, UserPromptPart

        self._repairs += 1
        if self._repairs > REPAIRS:
            raise errors.ModelFailed(f"the model {why}")
        if final is not None:
            final.error = again
        else:
            text = self._hidden(again)
            self._history += [response, ModelRequest(parts=[UserPromptPart(text)])]


def _wanted(part: Any, tools: Mapping[str, Tool]) -> Wanted:
    """A call of the model's; arguments that are no JSON object go back to it as an error."""
    try:
        arguments = part.args_as_dict(raise_if_invalid=True)
    except (ValueError, AssertionError):
        return Wanted(None, part.tool_name, {}, part.tool_call_id, error="arguments are no JSON")
    return Wanted(tools.get(part.tool_name), part.tool_name, arguments, part.tool_call_id)
