"""A model of an OpenAI-compatible endpoint as a responder."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import orjson

from lmos.model import (
    Answer,
    BinaryData,
    Done,
    Message,
    Model,
    Responder,
    Started,
    TextDelta,
    Turn,
    TurnEvent,
    Usage,
)
from lmos.model.base import Tuple
from lmos.model.errors import AgentFailed, InvalidInput
from lmos.protocols import calls, limits, sse
from lmos.protocols.answering import answered

#: Characters that an answer may have.
TEXT_LIMIT = 4 * 1024 * 1024


def responder(url: str, *, model: str = "", api_key: str | None = None) -> Responder:
    """Answers turns by asking a model at `{url}/chat/completions`, streamed. `url` ends in `/v1` as
    a rule; its fragment names the model where `model` does not. The whole history is sent; the
    user's id goes along, nothing else about them does.
    """
    base, _, named = url.partition("#")
    remote = _Remote(base.rstrip("/"), model or named or "default", api_key)

    def respond(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        return answered(remote.ask, turn, agent=remote.model)

    return respond


class _Remote:
    """The endpoint; `model` is what it is asked for."""

    def __init__(self, url: str, model: str, api_key: str | None) -> None:
        self.model = model
        self._url, self._api_key = url, api_key
        self._who = f"model {model!r} at {url}"

    async def ask(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        """The answer's events; raises where it fails."""
        yield Started(agent=self.model)
        async with (
            calls.request(
                "POST",
                f"{self._url}/chat/completions",
                who=self._who,
                body=request_of(turn, self.model),
                headers=self._headers(turn),
            ) as response,
            aclosing(sse.parse(response.content.iter_any())) as events,
        ):
            reading = _Reading(self._who)
            async for event in events:
                if event.data == b"[DONE]":
                    await calls.finish(response)
                    break
                if text := reading.text_of(event.data):
                    yield TextDelta(text=text)
        for ending in reading.end(self.model):
            yield ending

    def _headers(self, turn: Turn) -> dict[str, str]:
        headers = {"accept": calls.EVENT_STREAM, "x-conversation-id": turn.conversation_id}
        if self._api_key:
            headers["authorization"] = f"Bearer {self._api_key}"
        return calls.turn_headers(turn) | headers


class Delta(Model):
    """What a chunk adds to the message."""

    content: str | None = None


class Choice(Model):
    """An answer in a chunk."""

    delta: Delta | None = None
    finish_reason: str | None = None

    model_config = Model.model_config | {"alias_generator": None}


class Tokens(Model):
    """What it took."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    model_config = Model.model_config | {"alias_generator": None}


class Chunk(Model):
    """A piece of the streamed answer."""

    choices: Tuple[Choice] = ()
    usage: Tokens | None = None
    error: Any = None


class _Reading:
    """The chunks of one answer as they come."""

    def __init__(self, who: str) -> None:
        self._who = who
        self._text: list[str] = []
        self._size = 0
        self._finished = False
        self._usage = Tokens()

    def text_of(self, data: bytes) -> str:
        """The text that the chunk adds."""
        try:
            chunk = limits.parsed(Chunk, orjson.loads(data))
        except orjson.JSONDecodeError as error:
            raise AgentFailed(f"{self._who} sent what is not JSON: {error}") from None
        except InvalidInput as error:
            raise AgentFailed(f"{self._who} sent a chunk that cannot be read: {error}") from None
        if chunk.error:
            said = chunk.error.get("message") if isinstance(chunk.error, dict) else chunk.error
            raise AgentFailed(f"{self._who} failed: {said}")
        self._usage = chunk.usage or self._usage
        return "".join(self._added(choice) for choice in chunk.choices)

    def _added(self, choice: Choice) -> str:
        self._finished = self._finished or bool(choice.finish_reason)
        text = (choice.delta and choice.delta.content) or ""
        self._text.append(text)
        self._size += len(text)
        if self._size > TEXT_LIMIT:
            raise AgentFailed(f"{self._who} answers with more than {TEXT_LIMIT} characters")
        return text

    def end(self, model: str) -> list[TurnEvent]:
        """The events that end the turn, once the stream has ended."""
        text = "".join(self._text)
        if not self._finished:
            raise AgentFailed(f"{self._who} broke off in the middle of its answer")
        if not text:
            raise AgentFailed(f"{self._who} answered nothing")
        usage = Usage(
            model=model,
            input_tokens=self._usage.prompt_tokens,
            output_tokens=self._usage.completion_tokens,
            requests=1,
        )
        return [Answer(message=Message(role="assistant", content=text)), Done(usage=usage)]


def request_of(turn: Turn, model: str) -> dict[str, Any]:
    """The turn as a request."""
    request: dict[str, Any] = {
        "model": model,
        "messages": [
            {"role": message.role, "content": _content(message)} for message in turn.messages
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return request | ({"user": turn.user.id} if turn.user.id else {})


def _content(message: Message) -> str | list[dict[str, Any]]:
    if not message.binary_data:
        return message.content
    text = [{"type": "text", "text": message.content}] if message.content else []
    return [*text, *(_part(binary) for binary in message.binary_data)]


def _part(binary: BinaryData) -> dict[str, Any]:
    kind, _, form = binary.mime_type.partition("/")
    if kind == "audio" and binary.data_as_base64:
        audio = {"data": binary.data_as_base64, "format": form}
        return {"type": "input_audio", "input_audio": audio}
    place = binary.source or f"data:{binary.mime_type};base64,{binary.data_as_base64 or ''}"
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": place}}
    return {"type": "file", "file": {"file_data": place}}
