"""Offers, results, turns and events as MCP says them, and back. Pure."""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import orjson

from lmos.model import (
    BinaryData,
    Handover,
    InputRequired,
    Message,
    StatusUpdate,
    TextDelta,
    TurnEvent,
    Usage,
)
from lmos.model.errors import AgentFailed, InvalidInput, NotFound
from lmos.protocols.answering import Outcome
from lmos.protocols.mcp.offer import Annotations, Content, Prompt, Resource, Result, Tool

#: In `_meta`: of a tool, that it is an agent's and knows the extension; of a call, the turn; of a
#: progress notification, the event that it tells.
EXTENSION = "lmos.eclipse/turn"
#: What names of tools are made of, for every model provider's sake.
_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")
NAME_LIMIT = 64
_TEXTUAL = re.compile(r"text/|application/(json|xml|yaml|javascript)|.*\+(json|xml)$")

# --- names ----------------------------------------------------------------------------------------


def safe_name(name: str) -> str:
    """The name with nothing in it that a model provider refuses in names of tools."""
    return _UNFIT.sub("_", name)[:NAME_LIMIT] or "_"


def allowed(name: str, allow: Sequence[str] | None, deny: Sequence[str]) -> bool:
    """Whether the name passes: any of `allow` (None: all), none of `deny`. Both may hold globs."""
    if any(fnmatchcase(name, pattern) for pattern in deny):
        return False
    return allow is None or any(fnmatchcase(name, pattern) for pattern in allow)


# --- an offer -------------------------------------------------------------------------------------


def tool_data(tool: Tool) -> dict[str, Any]:
    """The tool as `tools/list` says it."""
    data: dict[str, Any] = {
        "name": tool.name,
        "description": tool.description,
        "inputSchema": {"type": "object", **tool.schema},
    }
    if tool.annotations.title:
        data["title"] = tool.annotations.title
    if hints := _annotations(tool.annotations):
        data["annotations"] = hints
    if tool.output is not None:
        data["outputSchema"] = dict(tool.output)
    if tool.meta:
        data["_meta"] = dict(tool.meta)
    return data


def _annotations(found: Annotations) -> dict[str, Any]:
    hints = {
        "readOnlyHint": found.read_only,
        "destructiveHint": found.destructive,
        "idempotentHint": found.idempotent,
        "openWorldHint": found.open_world,
    }
    return {name: value for name, value in hints.items() if value is not None}


def prompt_data(prompt: Prompt) -> dict[str, Any]:
    """The prompt as `prompts/list` says it."""
    arguments = [
        {"name": a.name, "description": a.description, "required": a.required}
        for a in prompt.arguments
    ]
    return {"name": prompt.name, "description": prompt.description, "arguments": arguments}


def resource_data(resource: Resource) -> dict[str, Any]:
    """The resource, or the template, as the lists say it."""
    place = "uriTemplate" if resource.is_template else "uri"
    return {
        place: resource.uri,
        "name": resource.name,
        "description": resource.description,
        "mimeType": resource.mime_type,
    }


def matched(resource: Resource, uri: str) -> dict[str, str] | None:
    """The values of a template's names in the URI, None when it is another's."""
    if not resource.is_template:
        return {} if resource.uri == uri else None
    parts = re.split(r"\{(\w+)\}", resource.uri)
    pattern = "".join(
        f"(?P<{part}>[^/]+)" if odd % 2 else re.escape(part) for odd, part in enumerate(parts)
    )
    found = re.fullmatch(pattern, uri)
    return found.groupdict() if found else None


def read_data(uri: str, mime_type: str, read: str | bytes) -> dict[str, Any]:
    """A resource's content as `resources/read` says it."""
    head = {"uri": uri, "mimeType": mime_type}
    if isinstance(read, str):
        return {"contents": [head | {"text": read}]}
    return {"contents": [head | {"blob": base64.b64encode(read).decode()}]}


# --- content --------------------------------------------------------------------------------------


def content_data(content: Content) -> dict[str, Any]:
    """A content block."""
    if isinstance(content, str):
        return {"type": "text", "text": content}
    kind = content.mime_type.partition("/")[0]
    data, source = content.data_as_base64, content.source
    if data is None:
        name = (source or "").rsplit("/", 1)[-1] or "resource"
        return {
            "type": "resource_link",
            "uri": source or "",
            "name": name,
            "mimeType": content.mime_type,
        }
    if kind in ("image", "audio") and not source:
        return {"type": kind, "data": data, "mimeType": content.mime_type}
    resource = {"uri": source or "lmos:attachment", "mimeType": content.mime_type}
    return {"type": "resource", "resource": resource | _bytes(content.mime_type, data)}


def _bytes(mime_type: str, data: str) -> dict[str, str]:
    """The bytes, as text where they are text."""
    if _TEXTUAL.match(mime_type):
        try:
            return {"text": base64.b64decode(data, validate=True).decode()}
        except (binascii.Error, UnicodeDecodeError):
            pass
    return {"blob": data}


def content_of(block: Mapping[str, Any]) -> Content:
    """A content block of somebody else's; `AgentFailed` when it is none."""
    match block:
        case {"type": "text", "text": str() as text}:
            return text
        case {"type": "image" | "audio", "data": str() as data, "mimeType": str() as mime_type}:
            return BinaryData(mime_type=mime_type, data_as_base64=data)
        case {"type": "resource", "resource": {"uri": uri, **rest}}:
            return embedded(str(uri), {str(name): value for name, value in rest.items()})
        case {"type": "resource_link", "uri": uri}:
            return BinaryData(mime_type=block.get("mimeType") or "*/*", source=str(uri))
    raise AgentFailed(f"content of type {block.get('type')!r} is not known")


def embedded(uri: str, resource: Mapping[str, Any]) -> BinaryData:
    """A resource that came with its text or bytes."""
    mime_type = resource.get("mimeType") or "text/plain"
    text = resource.get("text")
    data = base64.b64encode(text.encode()).decode() if isinstance(text, str) else None
    return BinaryData(mime_type=mime_type, data_as_base64=data or resource.get("blob"), source=uri)


def texts_of(blocks: Iterable[Content]) -> str:
    """The text of the blocks, a line or more each; what is no text is named."""
    return "\n".join(block if isinstance(block, str) else _named(block) for block in blocks)


def _named(binary: BinaryData) -> str:
    if binary.data_as_base64 is None:
        return f"[{binary.mime_type}: {binary.source}]"
    decoded = _bytes(binary.mime_type, binary.data_as_base64)
    return decoded.get("text") or f"[{binary.mime_type}{f' {binary.source}' * bool(binary.source)}]"


# --- messages -------------------------------------------------------------------------------------


def prompt_messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Messages as a prompt's: one for each block. MCP knows only user and assistant."""
    return [
        {"role": "assistant" if m.role == "assistant" else "user", "content": content_data(block)}
        for m in messages
        for block in (*((m.content,) if m.content else ()), *m.binary_data)
    ]


def message_of(data: Mapping[str, Any]) -> Message:
    """A prompt's message."""
    content = content_of(data["content"])
    role = "assistant" if data.get("role") == "assistant" else "user"
    if isinstance(content, str):
        return Message(role=role, content=content)
    return Message(role=role, content="", binary_data=(content,))


# --- results --------------------------------------------------------------------------------------


def result_of(value: Any) -> Result:
    """JSON data as a result: text as it is, objects structured and as JSON text."""
    if isinstance(value, str):
        return Result((value,))
    text = orjson.dumps(value).decode()
    return Result((text,), value if isinstance(value, dict) else None)


def result_data(result: Result) -> dict[str, Any]:
    """A result as `tools/call` says it."""
    data: dict[str, Any] = {"content": [content_data(block) for block in result.content]}
    data["isError"] = result.failed
    if result.structured is not None:
        data["structuredContent"] = dict(result.structured)
    if result.meta:
        data["_meta"] = dict(result.meta)
    return data


def result_from(data: Mapping[str, Any]) -> Result:
    """A result of somebody else's."""
    structured = data.get("structuredContent")
    return Result(
        content=tuple(content_of(block) for block in data.get("content") or ()),
        structured=structured if isinstance(structured, dict) else None,
        failed=bool(data.get("isError")),
        meta=data.get("_meta") or {},
    )


def value_of(result: Result) -> Any:
    """A result as a tool's value: the structured one where there is, else the text."""
    return result.structured if result.structured is not None else texts_of(result.content)


def failure(error: BaseException, code: str, message: str) -> Result:
    """An error as a result, which the caller's model reads."""
    details = getattr(error, "details", {})
    return Result((message,), {"errorCode": code, "message": message, **details}, failed=True)


# --- agents as tools ------------------------------------------------------------------------------

#: The arguments of an agent's tool.
ASK_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "input": {"type": "string", "minLength": 1, "description": "What the user says."},
        "conversation": {
            "type": "string",
            "maxLength": 256,
            "description": "The conversation that this goes on, as the last result named it.",
        },
    },
    "required": ["input"],
    "additionalProperties": False,
}
_STRING = {"type": "string"}
#: The structured result of an agent's tool.
ANSWER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "answer": _STRING,
        "status": {"type": "string", "enum": ["done", "input_required", "handover"]},
        "agent": _STRING,
        "version": _STRING,
        "conversation": _STRING,
        "context": {"type": "object", "additionalProperties": _STRING},
        "handover": {"type": "object"},
        "usage": {"type": "object"},
    },
    "required": ["answer", "status", "agent", "conversation"],
}


def answer_of(outcome: Outcome, conversation_id: str) -> Result:
    """A turn's outcome as the result of an agent's tool."""
    context = dict(outcome.context)
    structured: dict[str, Any] = {
        "answer": outcome.text,
        "status": "done",
        "agent": outcome.agent,
        "version": outcome.version,
        "conversation": conversation_id,
    }
    match outcome.terminal:
        case InputRequired():
            structured["status"] = "input_required"
            context |= outcome.terminal.context
        case Handover():
            structured["status"] = "handover"
            structured["handover"] = outcome.terminal.model_dump(exclude={"type"})
    if context:
        structured["context"] = context
    if outcome.usage != Usage():
        structured["usage"] = outcome.usage.wire()
    binaries = [binary for message in outcome.messages for binary in message.binary_data]
    return Result((outcome.text, *binaries), structured)


def told_by(event: TurnEvent) -> str:
    """What a progress notification says of the event, often nothing."""
    return event.text if isinstance(event, StatusUpdate | TextDelta) else ""


# --- asking a person ------------------------------------------------------------------------------


def with_defaults(schema: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """A filled-in form with the schema's defaults where it was left empty."""
    defaults = {
        name: field["default"]
        for name, field in (schema.get("properties") or {}).items()
        if isinstance(field, dict) and "default" in field
    }
    return defaults | dict(content)


# --- arguments of somebody else's agent -----------------------------------------------------------

_TEXT_NAMES = ("input", "message", "query", "prompt", "text", "question", "task", "request")
_CONVERSATION_NAMES = (
    "conversation",
    "conversation_id",
    "conversationId",
    "session_id",
    "context_id",
)


def ask_arguments(
    tool: str, schema: Mapping[str, Any], text: str, conversation_id: str
) -> dict[str, Any]:
    """The arguments that ask a tool of whatever schema what the user says. `NotFound` when it has
    no place for that.
    """
    properties = schema.get("properties") or {}
    required = [name for name in schema.get("required") or () if name in properties]
    place = next((name for name in _TEXT_NAMES if name in properties), None)
    if place is None and len(required) == 1:
        place = required[0]
    if place is None or set(required) - {place, *_CONVERSATION_NAMES}:
        raise NotFound(
            f"the tool {tool!r} is no agent: it takes {', '.join(properties) or 'nothing'} instead "
            f"of what a user says (as one of {', '.join(_TEXT_NAMES)})"
        )
    known = {name: conversation_id for name in _CONVERSATION_NAMES if name in properties}
    return {place: text} | known


def checked_arguments(arguments: Mapping[str, Any]) -> tuple[str, str]:
    """What the user says and the conversation, from the arguments of an agent's tool."""
    text, conversation = arguments.get("input"), arguments.get("conversation", "")
    if not isinstance(text, str) or not text.strip():
        raise InvalidInput("`input`, what the user says, is missing or empty")
    if not isinstance(conversation, str):
        raise InvalidInput("`conversation` must be text")
    if unknown := set(arguments) - {"input", "conversation"}:
        raise InvalidInput(f"unknown arguments: {', '.join(sorted(unknown))}")
    return text, conversation
