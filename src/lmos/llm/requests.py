"""Single requests to a language model, outside an agent's loop: a verdict, a summary, a choice."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from lmos.model import errors

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

    try:
        return await model_request(model, messages, model_request_parameters=parameters)
    except (AgentRunError, UserError) as error:
        raise errors.ModelFailed(f"{failing}: {error}") from error


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


def price_of(response: "ModelResponse") -> float | None:
    """What the response cost, in US dollars; None where the price of its model is not known."""
    try:
        return float(response.cost().total_price)
    except (LookupError, AssertionError, ValueError):
        return None
