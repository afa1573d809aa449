"""Single requests to a language model, outside an agent's loop: a verdict, a summary, a choice."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from lmos.model import errors
from lmos.telemetry import tracing

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse
    from pydantic_ai.models import Model, ModelRequestParameters
    from pydantic_ai.settings import ModelSettings

T = TypeVar("T")

#: Tokens of an answer that is held to a shape, where the model does not think.
MAX_TOKENS = 800

_TRIES = 2
_OBJECT = re.compile(r"\{.*\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Shape:
    """The object that an answer is to be: what it is called, and its JSON schema."""

    name: str
    schema: Mapping[str, Any]


async def request(
    model: "Model",
    messages: "list[ModelMessage]",
    failing: str,
    shape: Shape | None = None,
) -> "ModelResponse":
    """What the model responds, held to the shape if there is one. `ModelFailed`, which begins with
    `failing`, when it does not.
    """
    from pydantic_ai.direct import model_request
    from pydantic_ai.exceptions import AgentRunError, UserError

    with _seen(model) as responded:
        try:
            response = await model_request(
                model,
                messages,
                model_settings=_settings(model) if shape else None,
                model_request_parameters=_parameters(model, shape) if shape else None,
            )
        except (AgentRunError, UserError) as error:
            raise errors.ModelFailed(f"{failing}: {error}") from error
        responded(response)
    return response


async def understood(
    model: "Model",
    task: str,
    told: str,
    read: Callable[[str], T],
    *,
    who: str,
    wanted: str,
    shape: Shape | None = None,
    responses: "list[ModelResponse] | None" = None,
) -> T:
    """What `read` makes of the answer to a task. An answer of which it makes a `ValueError` is sent
    back once with what is wrong with it. `ModelFailed` says that `who` gave no `wanted`. Every
    response is put into `responses`, for what it cost, also when there is no answer in the end.
    """
    from pydantic_ai.messages import ModelRequest, SystemPromptPart, UserPromptPart

    messages: list[ModelMessage] = [
        ModelRequest(parts=[SystemPromptPart(task), UserPromptPart(told)])
    ]
    kept = [] if responses is None else responses
    problem = ""
    for _ in range(_TRIES):
        response = await request(model, messages, f"{who} failed", shape)
        kept.append(response)
        try:
            return read(_said(response))
        except ValueError as error:
            problem = str(error)
        messages += [response, _sent_back(response, problem)]
    raise errors.ModelFailed(f"{who} gave no {wanted}: {problem}")


def json_object(text: str) -> dict[str, Any]:
    """The JSON object in a text, which may stand in a code fence or among words. `ValueError` when
    there is none.
    """
    found = _OBJECT.search(text)
    answer = json.loads(found[0] if found else text)
    if not isinstance(answer, dict):
        raise ValueError("it must be a JSON object")
    return answer


@contextmanager
def _seen(model: "Model") -> "Iterator[Callable[[ModelResponse], None]]":
    """A span around a request; it is told the response."""
    tracer = tracing.tracer("lmos.llm")
    if tracer is None:
        yield lambda response: None
        return
    from opentelemetry.trace import SpanKind

    speaks = tracing.settings()
    facts = {**speaks.kind("llm"), **speaks.told(model=model.model_name, provider=model.system)}
    with tracer.start_as_current_span(
        "llm", kind=SpanKind.CLIENT, attributes=facts, record_exception=speaks.content
    ) as span:
        yield lambda response: span.set_attributes(
            speaks.told(
                response_model=response.model_name,
                input_tokens=response.usage.input_tokens,
                output_tokens=response.usage.output_tokens,
            )
        )


def price_of(response: "ModelResponse") -> float | None:
    """What the response cost, in US dollars; None where the price of its model is not known."""
    try:
        return float(response.cost().total_price)
    except (LookupError, AssertionError, ValueError):
        return None


def _parameters(model: "Model", shape: Shape) -> "ModelRequestParameters":
    """How this model is held to a shape: by its provider where that can, else as the arguments of
    a tool that it has to call, else by being told.
    """
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.output import OutputObjectDefinition
    from pydantic_ai.tools import ToolDefinition

    schema = dict(shape.schema)
    made = OutputObjectDefinition(json_schema=schema, name=shape.name, strict=True)
    if model.profile.get("supports_json_schema_output"):
        return ModelRequestParameters(output_mode="native", output_object=made)
    if model.profile.get("supports_tools", True):
        tool = ToolDefinition(
            name=shape.name, parameters_json_schema=schema, kind="output", strict=True
        )
        return ModelRequestParameters(
            output_mode="tool", output_tools=[tool], allow_text_output=False
        )
    return ModelRequestParameters(output_mode="prompted", output_object=made)


def _settings(model: "Model") -> "ModelSettings | None":
    """The same answer to the same question, and not much of it, as far as the model lets that be
    set: one that thinks needs room for it.
    """
    if model.profile.get("thinking_always_enabled"):
        return None
    if model.profile.get("supports_thinking"):
        return {"temperature": 0.0}
    return {"temperature": 0.0, "max_tokens": MAX_TOKENS}


def _said(response: "ModelResponse") -> str:
    """The answer: the arguments of the tool that was called, or the text."""
    calls = response.tool_calls
    return calls[0].args_as_json_str() if calls else response.text or ""


def _sent_back(response: "ModelResponse", problem: str) -> "ModelRequest":
    """What is wrong, as what the tool gave back where it was called."""
    from pydantic_ai.messages import ModelRequest, ModelRequestPart, ToolReturnPart, UserPromptPart

    said = f"That is not the JSON object that was asked for: {problem}"
    returned: list[ModelRequestPart] = [
        ToolReturnPart(call.tool_name, said, call.tool_call_id, outcome="retried")
        for call in response.tool_calls
    ]
    return ModelRequest(parts=returned or [UserPromptPart(said)])
