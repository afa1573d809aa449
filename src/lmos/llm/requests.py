"""Single requests to a language model, outside an agent's loop: a verdict, a summary, a choice."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from lmos.model import errors
from lmos.telemetry import tracing

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import Model, ModelRequestParameters

T = TypeVar("T")

_TRIES = 2


async def request(
    model: "Model",
    messages: "list[ModelMessage]",
    failing: str,
    parameters: "ModelRequestParameters | None" = None,
) -> "ModelResponse":
    """What the model responds. `ModelFailed`, which begins with `failing`, when it does not."""
    from pydantic_ai.direct import model_request
    from pydantic_ai.exceptions import AgentRunError, UserError

    with _seen(model) as responded:
        try:
            response = await model_request(model, messages, model_request_parameters=parameters)
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
    parameters: "ModelRequestParameters | None" = None,
) -> "tuple[T, list[ModelResponse]]":
    """What `read` makes of the answer to a task, and all responses. An answer of which it makes a
    `ValueError` is sent back once with what is wrong with it. `ModelFailed` says that `who` gave no
    `wanted`.
    """
    from pydantic_ai.messages import ModelRequest, SystemPromptPart, UserPromptPart

    messages: list[ModelMessage] = [
        ModelRequest(parts=[SystemPromptPart(task), UserPromptPart(told)])
    ]
    responses: list[ModelResponse] = []
    problem = ""
    for _ in range(_TRIES):
        response = await request(model, messages, f"{who} failed", parameters)
        responses.append(response)
        try:
            return read(response.text or ""), responses
        except ValueError as error:
            problem = str(error)
        repair = UserPromptPart(f"That is not the JSON object that was asked for: {problem}")
        messages += [response, ModelRequest(parts=[repair])]
    raise errors.ModelFailed(f"{who} gave no {wanted}: {problem}")


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
