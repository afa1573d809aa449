"""Answering with a language model: its text streams out, the tools it calls are run side by side.

The loop goes on until the model answers without calling tools. What a tool gives back, an error
included, goes to the model. The model layer is pydantic-ai's; the loop is ours.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lmos.arc.adl import UseCase, rendered
from lmos.arc.context import Context
from lmos.arc.direct import facts_of, values_of
from lmos.arc.running import Wanted, run_tools
from lmos.arc.tools import Tool
from lmos.model import Message, TextDelta, TurnEvent, Usage, errors

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import Model

MAX_ROUNDS = 30


@dataclass
class Spoken:
    """What the model has said in the turn."""

    text: str = ""
    usage: Usage = field(default_factory=Usage)


def system_prompt(
    description: str, instructions: Sequence[str], cases: Sequence[UseCase], ctx: Context
) -> str:
    """What the model is told: who it is, its instructions, and the use cases that hold."""
    parts = [description, *instructions]
    if cases:
        parts.append(
            "Answer from the use cases below. Choose the one that fits what the user wants and do "
            "what its Solution says, calling the tools it names. Say quoted text as it is, with "
            "{{name}} filled from the tools' results. Ask when something you need is missing. "
            "When no use case fits, say so and do not make anything up."
        )
        parts.append(rendered(cases, facts_of(ctx), values_of(ctx)))
    parts.append(f"Channel: {ctx.channel or 'unknown'}. Tenant: {ctx.tenant or 'unknown'}.")
    return "\n\n".join(part for part in parts if part)


async def run(
    model: "Model", ctx: Context, prompt: str, tools: Mapping[str, Tool], spoken: Spoken
) -> AsyncGenerator[TurnEvent, None]:
    """The turn with the model; fills `spoken`."""
    from pydantic_ai.messages import ModelRequest

    history = _history(prompt, ctx.messages)
    for _ in range(MAX_ROUNDS):
        response: ModelResponse | None = None
        async for event in _request(model, history, tools):
            if isinstance(event, str):
                spoken.text += event
                yield TextDelta(text=event)
            else:
                response = event
        assert response is not None
        spoken.usage = _added(spoken.usage, response)
        calls = [_wanted(part, tools) for part in response.tool_calls]
        if not calls:
            return
        async for done in run_tools(ctx, calls):
            yield done
        history += [response, ModelRequest(parts=_returns(calls))]
    raise errors.ModelFailed(f"the model called tools for {MAX_ROUNDS} rounds without an answer")


async def _request(
    model: "Model", history: "list[ModelMessage]", tools: Mapping[str, Tool]
) -> "AsyncGenerator[str | ModelResponse, None]":
    """One request: its text in pieces, then the whole response."""
    from pydantic_ai.direct import model_request_stream
    from pydantic_ai.exceptions import AgentRunError, UserError
    from pydantic_ai.messages import PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta
    from pydantic_ai.models import ModelRequestParameters

    parameters = ModelRequestParameters(function_tools=[_definition(t) for t in tools.values()])
    try:
        async with model_request_stream(
            model, history, model_request_parameters=parameters
        ) as stream:
            async for event in stream:
                if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
                    text = event.part.content
                elif isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                    text = event.delta.content_delta
                else:
                    continue
                if text:
                    yield text
            yield stream.get()
    except (AgentRunError, UserError) as error:
        raise errors.ModelFailed(f"the model {model.model_name} failed: {error}") from error


def _history(prompt: str, messages: Sequence[Message]) -> "list[ModelMessage]":
    from pydantic_ai.messages import (
        ModelRequest,
        ModelResponse,
        SystemPromptPart,
        TextPart,
        UserPromptPart,
    )

    history: list[ModelMessage] = [ModelRequest(parts=[SystemPromptPart(prompt)])]
    for message in messages:
        if message.role == "assistant":
            history.append(ModelResponse(parts=[TextPart(message.content)]))
        elif message.role == "user":
            history.append(ModelRequest(parts=[UserPromptPart(message.content)]))
        else:
            history.append(ModelRequest(parts=[SystemPromptPart(message.content)]))
    return history


def _definition(tool: Tool) -> Any:
    from pydantic_ai.tools import ToolDefinition

    return ToolDefinition(
        name=tool.name, description=tool.description, parameters_json_schema=dict(tool.schema)
    )


def _wanted(part: Any, tools: Mapping[str, Tool]) -> Wanted:
    """A call of the model's; arguments that are no JSON object go back to it as an error."""
    try:
        arguments = part.args_as_dict()
    except ValueError:
        return Wanted(None, part.tool_name, {}, part.tool_call_id, error="arguments are no JSON")
    return Wanted(tools.get(part.tool_name), part.tool_name, arguments, part.tool_call_id)


def _returns(calls: Sequence[Wanted]) -> "list[Any]":
    from pydantic_ai.messages import ToolReturnPart

    return [
        ToolReturnPart(tool_name=call.name, content=call.text, tool_call_id=call.id)
        for call in calls
    ]


def _added(usage: Usage, response: "ModelResponse") -> Usage:
    return Usage(
        model=response.model_name or usage.model,
        input_tokens=usage.input_tokens + response.usage.input_tokens,
        output_tokens=usage.output_tokens + response.usage.output_tokens,
        requests=usage.requests + 1,
    )
