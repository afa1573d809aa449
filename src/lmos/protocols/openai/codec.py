"""Chat completions as turns, and a turn's events as completions and chunks. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from lmos.model import (
    BinaryData,
    Decided,
    Handover,
    InputRequired,
    Message,
    Model,
    Started,
    Turn,
    TurnEvent,
    Usage,
    User,
    errors,
)
from lmos.model.base import Tuple
from lmos.model.errors import InvalidInput, LmosError, face_of
from lmos.protocols import limits
from lmos.protocols.answering import Outcome

_DATA_URL = re.compile(r"data:(?P<mime>[^;,]*)(;[^,]*)?;base64,(?P<data>.*)", re.DOTALL)


class Url(Model):
    """Where an image is."""

    model_config = Model.model_config | {"alias_generator": None}

    url: str


class Audio(Model):
    """A sound."""

    data: str
    format: str = "wav"


class File(Model):
    """A file."""

    model_config = Model.model_config | {"alias_generator": None}

    file_data: str | None = None
    filename: str | None = None


class ContentPart(Model):
    """A part of a message's content."""

    model_config = Model.model_config | {"alias_generator": None}

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: Url | None = None
    input_audio: Audio | None = None
    file: File | None = None


class ChatMessage(Model):
    """A message of the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | tuple[ContentPart, ...] | None = None


class StreamOptions(Model):
    """How to stream."""

    model_config = Model.model_config | {"alias_generator": None}

    include_usage: bool = False


class ChatRequest(Model):
    """The request. What tunes a model (temperature, tools ...) is the agent's business."""

    model_config = Model.model_config | {"alias_generator": None}

    model: str = Field(min_length=1, max_length=512)
    messages: Tuple[ChatMessage]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    user: str | None = None
    safety_identifier: str | None = None


# --- requests -------------------------------------------------------------------------------------


def read_request(data: Any) -> ChatRequest:
    """The request, checked."""
    request = limits.parsed(ChatRequest, data)
    if request.n not in (None, 1):
        raise InvalidInput(f"n is {request.n}: an agent gives one answer")
    return request


def turn_of(request: ChatRequest, *, conversation_id: str, turn_id: str) -> Turn:
    """The turn that the last message begins; the messages before it are its history."""
    messages = tuple(message_of(message, message.content) for message in request.messages)
    limits.check_messages(messages)
    return Turn(
        conversation_id=conversation_id,
        turn_id=turn_id,
        user=User(id=request.user or request.safety_identifier or ""),
        messages=messages,
    )


def message_of(message: ChatMessage, content: str | tuple[ContentPart, ...] | None) -> Message:
    """The message with the content: text, or parts of text and what is not text."""
    if content is None or isinstance(content, str):
        return Message(role=message.role, content=content or "")
    texts = [part.text or part.refusal or "" for part in content]
    return Message(
        role=message.role,
        content="\n".join(text for text in texts if text),
        binary_data=tuple(_binary(part) for part in content if _is_binary(part)),
    )


def _is_binary(part: ContentPart) -> bool:
    if part.type not in ("text", "refusal", "image_url", "input_audio", "file"):
        raise InvalidInput(f"content of type {part.type!r} is not known")
    return part.type not in ("text", "refusal")


def _binary(part: ContentPart) -> BinaryData:
    if part.input_audio is not None:
        mime_type = f"audio/{part.input_audio.format}"
        return BinaryData(mime_type=mime_type, data_as_base64=part.input_audio.data)
    place = part.image_url.url if part.image_url else (part.file and part.file.file_data)
    if not place:
        raise InvalidInput(f"content of type {part.type!r} has no data")
    found = _DATA_URL.fullmatch(place)
    if found:
        mime_type = found["mime"] or "application/octet-stream"
        return BinaryData(mime_type=mime_type, data_as_base64=found["data"])
    return BinaryData(mime_type="image/*" if part.image_url else "*/*", source=place)


# --- responses ------------------------------------------------------------------------------------


def usage_of(usage: Usage) -> dict[str, int]:
    """The tokens."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def completion(outcome: Outcome, turn: Turn, model: str, created: int) -> dict[str, Any]:
    """The response that is not streamed."""
    message = {"role": "assistant", "content": outcome.text, "refusal": None}
    return {
        "id": f"chatcmpl-{turn.turn_id}",
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": usage_of(outcome.usage),
        "lmos": extras(outcome, turn),
    }


def chunk(
    turn: Turn,
    model: str,
    created: int,
    delta: Mapping[str, Any],
    finish: str | None = None,
) -> dict[str, Any]:
    """A piece of the streamed response."""
    return {
        "id": f"chatcmpl-{turn.turn_id}",
        "object": "chat.completion.chunk",
        "created": created,
        "model": model,
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
    }


def extras(outcome: Outcome, turn: Turn) -> dict[str, Any]:
    """What OpenAI has no field for: who answered, the decision, context, the conversation."""
    found: dict[str, Any] = {
        "agent": outcome.agent,
        "conversation_id": turn.conversation_id,
        "turn_id": turn.turn_id,
    }
    if outcome.decision is not None:
        found["decision"] = outcome.decision.wire()
    return found | ({"context": outcome.context} if outcome.context else {}) | _ending(outcome)


def _ending(outcome: Outcome) -> dict[str, Any]:
    terminal = outcome.terminal
    if isinstance(terminal, InputRequired):
        context = {**outcome.context, **terminal.context}
        return {"input_required": True} | ({"context": context} if context else {})
    if isinstance(terminal, Handover):
        return {"handover": terminal.model_dump(exclude={"type"})}
    return {}


def note_of(event: TurnEvent) -> dict[str, Any]:
    """What a chunk says in its field `lmos` of an event that is not text, often nothing."""
    if isinstance(event, Started | Decided):
        return event.wire()
    return {}


_TYPES = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error"}


def error_of(error: LmosError) -> dict[str, Any]:
    """The error in OpenAI's shape."""
    status = face_of(error).status
    kind = _TYPES.get(status) or ("server_error" if status >= 500 else "invalid_request_error")
    unknown = isinstance(error, errors.NotFound)
    fields = error.details.get("fields")
    return {
        "error": {
            "message": error.message,
            "type": kind,
            "param": "model" if unknown else next(iter(fields), None) if fields else None,
            "code": "model_not_found" if unknown else face_of(error).code.lower(),
        }
    }
