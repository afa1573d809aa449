"""Turns as A2A's JSON, and back. Pure; tests hold it against the types of the A2A SDK."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import orjson
from pydantic import Field

from lmos.model import BinaryData, Message, Model, Turn
from lmos.model.base import Tuple
from lmos.model.errors import InvalidInput
from lmos.protocols import limits
from lmos.protocols.answering import APPROVAL, APPROVED, DENIED, found_already

#: The extension by which a turn and its events travel unchanged, in metadata under this key.
EXTENSION = "urn:lmos:a2a:turn:1"
#: Under which the metadata of a message to any agent tells what others share with it, and that of
#: its answer what it shares itself.
SHARED = "urn:lmos:a2a:shared:1"

WORKING = "TASK_STATE_WORKING"
COMPLETED = "TASK_STATE_COMPLETED"
FAILED = "TASK_STATE_FAILED"
CANCELED = "TASK_STATE_CANCELED"
REJECTED = "TASK_STATE_REJECTED"
INPUT_REQUIRED = "TASK_STATE_INPUT_REQUIRED"
AUTH_REQUIRED = "TASK_STATE_AUTH_REQUIRED"
ENDED = frozenset({COMPLETED, FAILED, CANCELED, REJECTED})


class Part(Model):
    """A piece of content: exactly one of text, raw (base64), url and data."""

    text: str | None = None
    raw: str | None = None
    url: str | None = None
    data: Any = None
    media_type: str | None = None


class Envelope(Model):
    """An A2A message, as far as it matters here."""

    message_id: str = Field(min_length=1)
    context_id: str | None = None
    task_id: str | None = None
    role: str | int
    parts: Tuple[Part] = ()
    metadata: dict[str, Any] | None = None
    extensions: Tuple[str] = ()

    @property
    def extension(self) -> dict[str, Any]:
        """What the extension carries here, empty without it."""
        found = (self.metadata or {}).get(EXTENSION)
        return found if isinstance(found, dict) else {}


class SendRequest(Model):
    """The parameters of SendMessage and SendStreamingMessage."""

    message: Envelope


# --- messages -------------------------------------------------------------------------------------


def parts_of(message: Message) -> list[dict[str, Any]]:
    """The message's content as parts."""
    parts: list[dict[str, Any]] = [{"text": message.content}] if message.content else []
    for binary in message.binary_data:
        place = {"url": binary.source} if binary.source else {"raw": binary.data_as_base64 or ""}
        parts.append({**place, "mediaType": binary.mime_type})
    return parts or [{"text": ""}]


def content_of(parts: Sequence[Part], between: str = "\n") -> tuple[str, tuple[BinaryData, ...]]:
    """The text of the parts, and what is not text. Structured data becomes JSON."""
    texts = [part.text for part in parts if part.text]
    return between.join(texts), tuple(_binary(part) for part in parts if part.text is None)


def _binary(part: Part) -> BinaryData:
    mime_type = part.media_type or "application/octet-stream"
    if part.url is not None:
        return BinaryData(mime_type=mime_type, source=part.url)
    if part.raw is not None:
        return BinaryData(mime_type=mime_type, data_as_base64=part.raw)
    data = base64.b64encode(orjson.dumps(part.data)).decode()
    return BinaryData(mime_type="application/json", data_as_base64=data)


def agent_message(
    message: Message, message_id: str, task_id: str, context_id: str
) -> dict[str, Any]:
    """The message as the agent's, within the task."""
    return {
        "messageId": message_id,
        "taskId": task_id,
        "contextId": context_id,
        "role": "ROLE_AGENT",
        "parts": parts_of(message),
    }


# --- turns ----------------------------------------------------------------------------------------


def params_of(turn: Turn, *, extended: bool, task_id: str | None = None) -> dict[str, Any]:
    """The parameters that send a turn. Without the extension only its new message is told, after
    what was said in the same turn before it.
    """
    already = "" if extended else found_already(turn)
    told = parts_of(turn.messages[-1]) if turn.messages else [{"text": ""}]
    message: dict[str, Any] = {
        "messageId": turn.turn_id,
        "contextId": turn.conversation_id,
        "role": "ROLE_USER",
        "parts": [{"text": already}, *told] if already else told,
    }
    if task_id:
        message["taskId"] = task_id
    if extended:
        message["extensions"] = [EXTENSION]
        message["metadata"] = {EXTENSION: {"turn": orjson.Fragment(turn.json_bytes())}}
    elif turn.shared:
        message["metadata"] = {SHARED: [value.wire() for value in turn.shared]}
    return {"message": message}


def read_params(params: Any) -> Envelope:
    """The message sent, checked; `InvalidInput` says what is wrong with it."""
    message = limits.parsed(SendRequest, params).message
    if message.role not in ("ROLE_USER", 1):
        raise InvalidInput(f"message.role must be ROLE_USER, not {message.role!r}")
    if not message.parts:
        raise InvalidInput("message.parts is empty: send at least one part")
    return message


def turn_of(message: Envelope) -> Turn:
    """The turn that the message begins: the extension's where it has one, else made from it."""
    if "turn" in message.extension:
        turn = limits.parsed(Turn, message.extension["turn"])
    else:
        verdict = _verdict(message.parts)
        told = [part for part in message.parts if not _is_verdict(part)]
        text, binary = content_of(told)
        if verdict and not text:
            text = "yes" if verdict == APPROVED else "no"
        turn = Turn(
            conversation_id=message.context_id or str(uuid4()),
            turn_id=message.message_id,
            messages=(Message(role="user", content=text, binary_data=binary),),
            system_context={APPROVAL: verdict} if verdict else {},
        )
    limits.check_messages(turn.messages)
    limits.check_name("contextId", turn.conversation_id)
    limits.check_name("messageId", turn.turn_id)
    return turn


# --- approvals ------------------------------------------------------------------------------------


def approval_parts(context: Mapping[str, str]) -> list[dict[str, Any]]:
    """The tool call that a question asks to approve, as a part for machines beside the words."""
    if APPROVAL not in context:
        return []
    try:
        wanted = orjson.loads(context[APPROVAL])
    except orjson.JSONDecodeError:
        wanted = context[APPROVAL]
    return [{"data": {APPROVAL: wanted}, "mediaType": "application/json"}]


def _is_verdict(part: Part) -> bool:
    return isinstance(part.data, dict) and part.data.get(APPROVAL) in (APPROVED, DENIED)


def _verdict(parts: Sequence[Part]) -> str:
    """`approved` or `denied` where a part is data that says so, else empty; yes and no in words are
    the agent's to read.
    """
    return next((str(part.data[APPROVAL]) for part in parts if _is_verdict(part)), "")
