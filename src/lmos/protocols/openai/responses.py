"""OpenAI's responses as turns, and a turn's events as a response and as the events of its stream.
Pure.

A response belongs to a conversation, whose id is part of the response's: so `previous_response_id`
leads to the conversation whichever process is asked, and nothing has to be kept for it. The agent
remembers what was said; a request that continues one brings only what is new.

A question to approve a tool call is an `mcp_approval_request`, answered by an
`mcp_approval_response`.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import Field

from lmos.model import (
    Answer,
    Failed,
    Handover,
    InputRequired,
    Message,
    Model,
    TextDelta,
    Turn,
    TurnEvent,
    Usage,
    User,
    errors,
)
from lmos.model.base import Tuple
from lmos.model.errors import InvalidInput, face_of
from lmos.protocols import limits
from lmos.protocols.answering import APPROVAL, APPROVED, DENIED, Outcome
from lmos.protocols.openai import codec
from lmos.protocols.openai.codec import ContentPart, File, Url

_PREFIX = "resp_"


class Part(Model):
    """A part of an item's content."""

    model_config = Model.model_config | {"alias_generator": None}

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None


class Item(Model):
    """An item of the input."""

    model_config = Model.model_config | {"alias_generator": None}

    type: str = "message"
    role: str = "user"
    content: str | tuple[Part, ...] | None = None
    approve: bool = False


class Named(Model):
    """A conversation, by its id."""

    id: str


class ResponsesRequest(Model):
    """The request. What tunes a model (temperature, tools ...) is the agent's business."""

    model_config = Model.model_config | {"alias_generator": None}

    model: str = Field(min_length=1, max_length=512)
    input: str | Tuple[Item] = ()
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: str | Named | None = None
    stream: bool | None = None
    background: bool | None = None
    user: str | None = None
    safety_identifier: str | None = None
    metadata: dict[str, str] | None = None


# --- requests -------------------------------------------------------------------------------------


def read_request(data: Any) -> ResponsesRequest:
    """The request, checked."""
    request = limits.parsed(ResponsesRequest, data)
    if request.background:
        raise InvalidInput("responses in the background are not offered; use stream")
    if request.previous_response_id and request.conversation:
        raise InvalidInput("previous_response_id and conversation cannot both be given")
    return request


def conversation_of(request: ResponsesRequest) -> str:
    """The id of the conversation that the request continues, empty when it begins one."""
    if request.previous_response_id:
        return _conversation_in(request.previous_response_id)
    found = request.conversation
    return found.id if isinstance(found, Named) else found or ""


def response_id(conversation_id: str, turn_id: str) -> str:
    """The id of a turn's response."""
    return f"{_PREFIX}{_encoded(conversation_id)}.{_encoded(turn_id)}"


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _conversation_in(previous: str) -> str:
    encoded = previous.removeprefix(_PREFIX).partition(".")[0]
    try:
        if not encoded or not previous.startswith(_PREFIX):
            raise ValueError
        padded = encoded + "=" * (-len(encoded) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        raise InvalidInput(
            "previous_response_id is not the id of a response from here",
            fields={"previous_response_id": "unknown"},
        ) from None


def turn_of(request: ResponsesRequest, *, conversation_id: str, turn_id: str) -> Turn:
    """The turn that the input begins."""
    messages, verdict = _messages(request)
    limits.check_messages(messages)
    return Turn(
        conversation_id=conversation_id,
        turn_id=turn_id,
        user=User(id=request.user or request.safety_identifier or ""),
        messages=messages,
        system_context={APPROVAL: verdict} if verdict else {},
    )


def _messages(request: ResponsesRequest) -> tuple[tuple[Message, ...], str]:
    """The messages, and whether a tool call was approved: `approved`, `denied` or nothing."""
    found: list[Message] = []
    verdict = ""
    if request.instructions:
        found.append(Message(role="developer", content=request.instructions))
    items = [Item(content=request.input)] if isinstance(request.input, str) else request.input
    for item in items:
        if item.type == "mcp_approval_response":  # of several calls one denied denies them all
            verdict = APPROVED if item.approve and verdict != DENIED else DENIED
        elif item.type == "message":
            found += _spoken(verdict)  # decided in an earlier turn, said again
            verdict = ""
            found.append(_message(item))
        elif item.type not in ("reasoning", "mcp_approval_request"):  # what we gave, given back
            raise InvalidInput(f"input of type {item.type!r} is not known: agents call their tools")
    return (*found, *_spoken(verdict)), verdict


def _spoken(verdict: str) -> list[Message]:
    """What a user would have said."""
    return [Message(role="user", content="yes" if verdict == APPROVED else "no")] if verdict else []


def _message(item: Item) -> Message:
    given, message = item.content, limits.parsed(codec.ChatMessage, {"role": item.role})
    if isinstance(given, tuple):
        return codec.message_of(message, tuple(_chat_part(part) for part in given))
    return codec.message_of(message, given)


def _chat_part(part: Part) -> ContentPart:
    """The part as chat completions have it."""
    match part.type:
        case "input_text" | "output_text" | "text":
            return ContentPart(type="text", text=part.text)
        case "refusal":
            return ContentPart(type="refusal", refusal=part.refusal)
        case "input_image" if part.image_url:
            return ContentPart(type="image_url", image_url=Url(url=part.image_url))
        case "input_file" if part.file_data or part.file_url:
            file = File(file_data=part.file_data or part.file_url, filename=part.filename)
            return ContentPart(type="file", file=file)
    if part.file_id:
        raise InvalidInput("files by id are not kept here; send file_data, file_url or image_url")
    raise InvalidInput(f"content of type {part.type!r} is not known or has no data")


# --- responses ------------------------------------------------------------------------------------


class Building:
    """A response while the events of its turn come. `take` gives what the stream says of each, and
    `response` is the whole as it is then.
    """

    def __init__(self, request: ResponsesRequest, turn: Turn, created: int) -> None:
        self.outcome = Outcome()
        self._request = request
        self._turn = turn
        self._created = created
        self._id = response_id(turn.conversation_id, turn.turn_id)
        self._output: list[dict[str, Any]] = []
        self._open: dict[str, Any] | None = None
        self._number = -1

    def begin(self) -> list[dict[str, Any]]:
        """What a stream says first."""
        kinds = ("response.created", "response.in_progress")
        return [self._event(kind, response=self.response("in_progress")) for kind in kinds]

    def take(self, event: TurnEvent) -> list[dict[str, Any]]:
        """What the stream says of the event."""
        self.outcome.add(event)
        match event:
            case TextDelta():
                return self._delta(event.text)
            case Answer():
                return self._whole(event.message.content)
            case InputRequired():
                return [*self._whole(event.message.content), *self._ask(event.context)]
            case Handover() if event.reason:
                return self._whole(event.reason)
            case _:
                return []

    def end(self) -> dict[str, Any]:
        """What a stream says last, once the terminal event was taken."""
        if isinstance(self.outcome.terminal, Failed):
            return self._event("response.failed", response=self.response("failed"))
        return self._event("response.completed", response=self.response("completed"))

    def response(self, status: str = "completed") -> dict[str, Any]:
        """The response as far as it is known."""
        request, terminal = self._request, self.outcome.terminal
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": _error(terminal) if isinstance(terminal, Failed) else None,
            "incomplete_details": None,
            "instructions": request.instructions,
            "metadata": request.metadata or {},
            "model": request.model,
            "output": list(self._output),
            "parallel_tool_calls": True,
            "previous_response_id": request.previous_response_id,
            "conversation": {"id": self._turn.conversation_id},
            "store": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": _usage(self.outcome.usage) if terminal is not None else None,
            "lmos": codec.extras(self.outcome, self._turn),
        }

    # --- the message that is being said --------------------------------------------------------

    def _delta(self, text: str) -> list[dict[str, Any]]:
        begun = [] if self._open else self._begin_message()
        assert self._open is not None
        self._open["content"][0]["text"] += text
        return [*begun, self._of_text("response.output_text.delta", delta=text, logprobs=[])]

    def _whole(self, text: str) -> list[dict[str, Any]]:
        begun = [] if self._open or not text else self._delta(text)
        return [*begun, *self._end_message()] if self._open else []

    def _begin_message(self) -> list[dict[str, Any]]:
        item = {
            "id": f"msg_{self._turn.turn_id}_{len(self._output)}",
            "type": "message",
            "role": "assistant",
            "status": "in_progress",
            "content": [],
        }
        added = self._item_event("response.output_item.added", item)
        part = {"type": "output_text", "text": "", "annotations": []}
        self._open = {**item, "content": [part]}
        return [added, self._of_text("response.content_part.added", part=dict(part))]

    def _end_message(self) -> list[dict[str, Any]]:
        assert self._open is not None
        part = self._open["content"][0]
        done = [
            self._of_text("response.output_text.done", text=part["text"], logprobs=[]),
            self._of_text("response.content_part.done", part=part),
        ]
        item, self._open = {**self._open, "status": "completed"}, None
        return [*done, *self._finished(item)]

    def _ask(self, context: Mapping[str, str]) -> list[dict[str, Any]]:
        """The tool calls to approve, where the question is about such."""
        found = []
        for number, wanted in enumerate(_calls_in(context.get(APPROVAL, ""))):
            item = {
                "id": str(wanted.get("id") or f"mcpr_{self._turn.turn_id}_{number}"),
                "type": "mcp_approval_request",
                "name": str(wanted.get("tool", "")),
                "arguments": json.dumps(wanted.get("arguments", {})),
                "server_label": self.outcome.agent,
            }
            added = self._item_event("response.output_item.added", item)
            found += [added, *self._finished(item)]
        return found

    def _finished(self, item: dict[str, Any]) -> list[dict[str, Any]]:
        done = self._item_event("response.output_item.done", item)
        self._output.append(item)
        return [done]

    # --- events --------------------------------------------------------------------------------

    def _of_text(self, kind: str, **more: Any) -> dict[str, Any]:
        assert self._open is not None
        place = {"item_id": self._open["id"], "output_index": len(self._output), "content_index": 0}
        return self._event(kind, **place, **more)

    def _item_event(self, kind: str, item: dict[str, Any]) -> dict[str, Any]:
        return self._event(kind, output_index=len(self._output), item=item)

    def _event(self, kind: str, **more: Any) -> dict[str, Any]:
        self._number += 1
        return {"type": kind, "sequence_number": self._number, **more}


def _calls_in(approval: str) -> list[Mapping[str, Any]]:
    """The calls that the context of a question tells: one, or a list."""
    try:
        found = orjson.loads(approval)
    except orjson.JSONDecodeError:
        return []
    calls = found if isinstance(found, list) else [found]
    return [call for call in calls if isinstance(call, dict)]


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _error(failed: Failed) -> dict[str, str]:
    limited = face_of(failed.exception()) == face_of(errors.Overloaded)
    code = "rate_limit_exceeded" if limited else "server_error"
    return {"code": code, "message": failed.error.message}
