"""The scripted model as a pydantic-ai model: no network, no worker thread, little of anything.

Apart from `scripted`, because it loads pydantic-ai.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic_ai import exceptions
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    ModelResponsePart,
    ModelResponseStreamEvent,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from lmos.llm.scripted import Call, Refusal, Request, Say, ScriptedModel

_PROFILE = ModelProfile(supports_json_schema_output=True, supports_json_object_output=True)
_LETTERS_A_TOKEN = 4
#: What a status means, as the providers' adapters say it.
_CATEGORIES: dict[int, Any] = {
    400: exceptions.ModelRequestRejectedError,
    401: exceptions.ModelAuthenticationError,
    402: exceptions.ModelQuotaExceededError,
    403: exceptions.ModelAuthenticationError,
    404: exceptions.ModelNotFoundError,
    422: exceptions.ModelRequestRejectedError,
    429: exceptions.ModelRateLimitError,
    503: exceptions.ModelUnavailableError,
    529: exceptions.ModelOverloadedError,
}


class SpeakingModel(Model):
    """Says what the script says, at once or streamed word by word."""

    def __init__(self, script: ScriptedModel) -> None:
        super().__init__(profile=_PROFILE)
        self._script = script

    @property
    def model_name(self) -> str:
        """The name that the script gives it."""
        return self._script.name

    @property
    def system(self) -> str:
        """The provider."""
        return "scripted"

    @property
    def base_url(self) -> None:
        """It is nowhere."""

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """The reply at once. An error of the reply is raised, whatever it says before."""
        request, said = await self._asked(messages, model_settings, model_request_parameters)
        if said.error is not None:
            raise raised(said.error, self.model_name)
        return ModelResponse(
            parts=_parts(said, self._script.count),
            usage=_usage(said, request),
            model_name=self.model_name,
        )

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: Any = None,
    ) -> AsyncGenerator[StreamedResponse, None]:
        """The reply word by word. An error comes where the words end."""
        request, said = await self._asked(messages, model_settings, model_request_parameters)
        parts = _parts(said, self._script.count)
        error = None if said.error is None else raised(said.error, self.model_name)
        if error is not None and not (said.text or said.thinking or said.calls):
            raise error
        stream = SpokenStream(model_request_parameters, parts, self.model_name, error)
        stream._usage = _usage(said, request)
        yield stream

    async def _asked(
        self,
        messages: list[ModelMessage],
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
    ) -> tuple[Request, Say]:
        settings, parameters = self.prepare_request(settings, parameters)
        request = Request(tuple(messages), parameters, settings)
        return request, await self._script.reply(request)


@dataclass
class SpokenStream(StreamedResponse):
    """Parts that are known beforehand as a stream: texts word by word, the others whole, and at the
    end the error if there is one.
    """

    parts: Sequence[ModelResponsePart]
    name: str
    error: BaseException | None = None
    provider: str = "scripted"
    began: datetime = field(default_factory=lambda: datetime.now(UTC))

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        manager = self._parts_manager
        for number, part in enumerate(self.parts):
            if isinstance(part, TextPart) and part.content:
                for word in words(part.content):
                    for event in manager.handle_text_delta(vendor_part_id=number, content=word):
                        yield event
            else:
                yield manager.handle_part(vendor_part_id=number, part=part)
        if self.error is not None:
            raise self.error

    async def close_stream(self) -> None:
        """Nothing to close."""

    @property
    def model_name(self) -> str:
        """The name of the model."""
        return self.name

    @property
    def provider_name(self) -> str:
        """The provider."""
        return self.provider

    @property
    def provider_url(self) -> None:
        """It is nowhere."""

    @property
    def timestamp(self) -> datetime:
        """When the reply began."""
        return self.began


def words(text: str) -> list[str]:
    """The text in pieces, as a model streams it."""
    pieces = text.split(" ")
    return [piece + " " for piece in pieces[:-1]] + [p for p in pieces[-1:] if p]


def raised(error: BaseException | Refusal, model: str) -> BaseException:
    """The error of a reply, a refusal as a provider's adapter raises it."""
    if not isinstance(error, Refusal):
        return error
    server = exceptions.ModelServerError if error.status >= 500 else None
    return exceptions.ModelHTTPError.for_category(
        _CATEGORIES.get(error.status, server),
        status_code=error.status,
        model_name=model,
        body=error.body,
        retry_after=error.retry_after,
    )


def _parts(said: Say, request: int) -> list[ModelResponsePart]:
    parts: list[ModelResponsePart] = []
    if said.thinking:
        parts.append(ThinkingPart(said.thinking))
    if said.text or not said.calls:
        parts.append(TextPart(said.text))
    return parts + [_call(call, request, number) for number, call in enumerate(said.calls)]


def _call(call: Call, request: int, number: int) -> ToolCallPart:
    given = call.arguments
    arguments = given if isinstance(given, str) else json.dumps(dict(given))
    return ToolCallPart(call.tool, arguments, tool_call_id=f"call-{request}-{number}")


def _usage(said: Say, request: Request) -> RequestUsage:
    """As the reply says, else four letters a token."""
    heard, spoken = said.input_tokens, said.output_tokens
    if heard is None:
        parts = (part for message in request for part in message.parts)
        letters = sum(len(c) for p in parts if isinstance(c := getattr(p, "content", ""), str))
        heard = letters // _LETTERS_A_TOKEN + 1
    if spoken is None:
        made = sum(len(call.tool) + len(str(call.arguments)) for call in said.calls)
        spoken = (len(said.text) + len(said.thinking) + made) // _LETTERS_A_TOKEN + 1
    return RequestUsage(input_tokens=heard, output_tokens=spoken)
