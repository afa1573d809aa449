"""One request to a language model: streamed, asked again when that helps, or of another model.

Too many requests, a server in trouble and a lost connection are waited out, as long as the provider
asks or twice as long each time; then the next of the agent's models is asked. Once a model has said
something, nothing is asked again: the words are out.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lmos.llm.budget import Budget
from lmos.llm.models import ModelChoice
from lmos.model import Usage, errors

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import Model, ModelRequestParameters

#: Requests to one model before the next is asked, and seconds waited after the first and at most.
TRIES, FIRST_WAIT, LONGEST_WAIT = 3, 0.5, 20.0


@dataclass(frozen=True, slots=True)
class Models:
    """The models of an agent, the first asked first, with what is the same for every request.

    `settings` are pydantic-ai's `ModelSettings`: temperature, max_tokens, seed and so on.
    """

    choices: tuple[ModelChoice, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    tries: int = TRIES
    wait: Callable[[float], Awaitable[Any]] = asyncio.sleep

    async def stream(
        self,
        history: "list[ModelMessage]",
        parameters: "ModelRequestParameters",
        usage: Usage,
    ) -> "AsyncGenerator[str | ModelResponse, None]":
        """One request: its text in pieces, then the whole response. `BudgetExceeded` when `usage`
        leaves nothing for it, `ModelFailed` when no model answers.
        """
        self.budget.check(usage)
        failures: list[str] = []
        for choice in self.choices:
            model = choice.model
            assert model is not None
            try:
                async with aclosing(self._tried(model, history, parameters)) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except _Unanswered as failure:
                failures.append(str(failure))
        raise errors.ModelFailed("; ".join(failures))

    async def _tried(
        self, model: "Model", history: "list[ModelMessage]", parameters: "ModelRequestParameters"
    ) -> "AsyncGenerator[str | ModelResponse, None]":
        """The request to one model, repeated while that may help and nothing has been said."""
        from pydantic_ai.exceptions import AgentRunError, UserError

        for attempt in range(1, self.tries + 1):
            said = False
            try:
                async with aclosing(_request(model, history, parameters, self.settings)) as pieces:
                    async for piece in pieces:
                        said = True
                        yield piece
                return
            except (AgentRunError, UserError) as error:
                text = f"the model {model.model_name} failed: {error}"
                if said:
                    raise errors.ModelFailed(text) from error
                if attempt == self.tries or not _passes(error):
                    raise _Unanswered(text) from error
                await self.wait(_pause(error, attempt))


class _Unanswered(Exception):
    """A model has said nothing and will not; another may."""


async def _request(
    model: "Model",
    history: "list[ModelMessage]",
    parameters: "ModelRequestParameters",
    settings: Mapping[str, Any],
) -> "AsyncGenerator[str | ModelResponse, None]":
    from pydantic_ai.direct import model_request_stream
    from pydantic_ai.messages import PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta

    given: Any = dict(settings) or None
    async with model_request_stream(
        model, history, model_settings=given, model_request_parameters=parameters
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


def _passes(error: Exception) -> bool:
    """Whether what is wrong may be right in a moment."""
    from pydantic_ai.exceptions import (
        ModelConnectionError,
        ModelQuotaExceededError,
        ModelRateLimitError,
        ModelServerError,
        ModelUnavailableError,
    )

    passing = (ModelRateLimitError, ModelUnavailableError, ModelServerError, ModelConnectionError)
    return isinstance(error, passing) and not isinstance(error, ModelQuotaExceededError)


def _pause(error: Exception, attempt: int) -> float:
    """Seconds to wait: what the provider asks for, else twice as long each time, with some chance
    in it so that many callers do not come back together.
    """
    asked = getattr(error, "retry_after", None)
    if asked is not None:
        return min(float(asked), LONGEST_WAIT)
    longest = min(FIRST_WAIT * float(2 ** (attempt - 1)), LONGEST_WAIT)
    return longest * (0.5 + random.random() / 2)


def history_of(prompt: str, messages: Sequence[Any]) -> "list[ModelMessage]":
    """What was said so far, as a model reads it, with the prompt first."""
    from pydantic_ai.messages import (
        ModelRequest,
        ModelResponse,
        SystemPromptPart,
        TextPart,
        UserPromptPart,
    )

    history: list[ModelMessage] = [ModelRequest(parts=[SystemPromptPart(prompt)])] if prompt else []
    for message in messages:
        if message.role == "assistant":
            history.append(ModelResponse(parts=[TextPart(message.content)]))
        elif message.role == "user":
            history.append(ModelRequest(parts=[UserPromptPart(_content(message))]))
        else:
            history.append(ModelRequest(parts=[SystemPromptPart(message.content)]))
    return history


def _content(message: Any) -> Any:
    """A user's text with its attachments, as pydantic-ai takes them."""
    if not message.binary_data:
        return message.content
    import base64

    from pydantic_ai.messages import BinaryContent

    parts: list[Any] = [message.content] if message.content else []
    for data in message.binary_data:
        if data.data_as_base64:
            raw = base64.b64decode(data.data_as_base64)
            parts.append(BinaryContent(raw, media_type=data.mime_type))
    return parts


def usage_of(response: "ModelResponse", budget: Budget) -> Usage:
    """What the response took."""
    return Usage(
        model=response.model_name or "",
        input_tokens=response.usage.input_tokens,
        output_tokens=response.usage.output_tokens,
        requests=1,
        cost=budget.cost_of(response),
    )
