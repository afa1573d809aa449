"""A model in a cassette: asked and recorded, or replayed. Loads pydantic-ai."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings

from lmos.llm import resolve_model
from lmos.llm.models import addressed
from lmos.llm.scripted import Refusal
from lmos.llm.speaking import SpokenStream, raised
from lmos.model import errors
from lmos.testing.traffic import (
    Data,
    request_data,
    response_data,
    response_parts,
    response_usage,
)

if TYPE_CHECKING:
    from lmos.testing.cassette import Cassette

_PROFILE = ModelProfile(supports_json_schema_output=True, supports_json_object_output=True)


class TapedModel(Model):
    """The model that a cassette is around."""

    def __init__(self, cassette: "Cassette", model: str | Model) -> None:
        super().__init__(profile=_PROFILE if isinstance(model, str) else model.profile)
        self._cassette = cassette
        self._given = model

    @property
    def model_name(self) -> str:
        """The name of the model."""
        if isinstance(self._given, str):
            return addressed(self._given.partition(":")[2])[0]
        return self._given.model_name

    @property
    def system(self) -> str:
        """The provider."""
        if isinstance(self._given, str):
            return self._given.partition(":")[0]
        return self._given.system

    @property
    def base_url(self) -> None:
        """Where the model is changes nothing of a recording."""

    @cached_property
    def _model(self) -> Model:
        """The model itself."""
        if not isinstance(self._given, str):
            return self._given
        model = resolve_model(self._given).model
        if model is None:
            raise errors.InvalidInput(f"{self._given} is no language model that can be recorded")
        return model

    async def close(self) -> None:
        """Closes the connections of a model that was made here."""
        if isinstance(self._given, str) and "_model" in self.__dict__:
            async with self._model:  # leaving it closes what it has opened
                pass

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """The response, recorded or replayed."""
        asked = request_data(messages, model_settings, model_request_parameters)
        if not self._cassette.recording:
            entry, place = self._taken(asked)
            response = entry["response"]
            return ModelResponse(
                parts=response_parts(response, place),
                usage=response_usage(response),
                model_name=self.model_name,
                finish_reason=response.get("finish_reason"),
            )
        try:
            answer = await self._model.request(messages, model_settings, model_request_parameters)
        except ModelHTTPError as error:
            self._refused(asked, error)
            raise
        self._cassette.add(self.model_name, asked, {"response": response_data(answer)})
        return answer

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: Any = None,
    ) -> AsyncGenerator[StreamedResponse, None]:
        """The response in pieces. It is recorded once it is complete."""
        asked = request_data(messages, model_settings, model_request_parameters)
        if not self._cassette.recording:
            entry, place = self._taken(asked)
            yield self._replayed(entry["response"], place, model_request_parameters)
            return
        try:
            async with self._model.request_stream(
                messages, model_settings, model_request_parameters
            ) as stream:
                yield stream
                answer = stream.get()
        except ModelHTTPError as error:
            self._refused(asked, error)
            raise
        if answer.state == "complete":
            self._cassette.add(self.model_name, asked, {"response": response_data(answer)})

    def _taken(self, asked: Data) -> tuple[Data, int]:
        entry, place = self._cassette.take(self.model_name, asked)
        if error := entry.get("error"):
            raise raised(Refusal(error["status"], error.get("body")), self.model_name)
        return entry, place

    def _replayed(
        self, response: Data, place: int, parameters: ModelRequestParameters
    ) -> SpokenStream:
        parts = response_parts(response, place)
        stream = SpokenStream(parameters, parts, self.model_name, provider=self.system)
        stream._usage = response_usage(response)
        stream.finish_reason = response.get("finish_reason")
        return stream

    def _refused(self, asked: Data, error: ModelHTTPError) -> None:
        refused = {"status": error.status_code, "body": error.body}
        self._cassette.add(self.model_name, asked, {"error": refused})
