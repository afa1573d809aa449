"""What an agent behind AG-UI sends, as a turn's events again. Pure."""

from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import Field, ValidationError

from lmos.model import (
    AnonymizationEntity,
    Answer,
    BinaryData,
    Decided,
    Decision,
    Done,
    Handover,
    InputRequired,
    Message,
    Model,
    Started,
    StatusUpdate,
    TextDelta,
    ToolCall,
    ToolResult,
    TurnEvent,
    Usage,
)
from lmos.model.base import Tuple
from lmos.model.errors import AgentFailed, LmosError, code_to_error
from lmos.protocols.agui import names
from lmos.protocols.text import json_text

#: Characters that the answer and a tool's arguments may have.
TEXT_LIMIT = 4 * 1024 * 1024


class Tokens(Model):
    """What a model took."""

    model: str | None = None
    input_tokens: int = Field(default=0, ge=0)
    output_tokens: int = Field(default=0, ge=0)


class Heard(Model):
    """Any event, as far as it matters here."""

    type: str
    message_id: str | None = None
    role: str | None = None
    delta: Any = None
    tool_call_id: str | None = None
    tool_call_name: str | None = None
    content: Any = None
    name: str | None = None
    value: Any = None
    outcome: Any = None
    usage: Tuple[Tokens] = ()
    message: str | None = None
    code: str | None = None
    messages: Any = None


class Besides(Model):
    """What our custom events say of a message or a question."""

    context: Mapping[str, str] = Field(default_factory=dict)
    binary_data: Tuple[BinaryData] = ()
    anonymization_entities: Tuple[AnonymizationEntity] = ()


class Translator:
    """The events of one run of `agent`; `who` names it in messages."""

    def __init__(self, agent: str, who: str) -> None:
        self._agent, self._who = agent, who
        self._started = False
        self._message, self._text, self._size = "", "", 0
        self._others = ""
        self._besides = Besides()
        self._calls: dict[str, tuple[str, str]] = {}
        self._names: dict[str, str] = {}
        self._last_call = ""
        self._held: InputRequired | Handover | None = None
        self._answered = False
        self._snapshot = ""

    def read(self, data: bytes) -> list[TurnEvent]:
        """The events that one of AG-UI means; the last of the turn among them ends it."""
        try:
            heard = Heard.model_validate_json(data)
        except ValidationError:
            raise AgentFailed(f"{self._who} sent an event that cannot be read") from None
        if heard.type == "RUN_STARTED":
            return []
        events = self._events(heard)
        if self._started:
            return events
        self._started = True
        if events and isinstance(events[0], Started):
            return events
        return [Started(agent=self._agent), *events]

    def _events(self, heard: Heard) -> list[TurnEvent]:
        kind = heard.type
        if kind.startswith("TEXT_MESSAGE_"):
            return self._said(kind, heard)
        ended = self._answer() if kind.startswith(("TOOL_CALL_", "RUN_")) else []
        match kind:
            case "TOOL_CALL_START" | "TOOL_CALL_ARGS" | "TOOL_CALL_CHUNK":
                return [*ended, *self._called(heard)]
            case "TOOL_CALL_END":
                return self._calling(heard.tool_call_id or "")
            case "TOOL_CALL_RESULT":
                return [*self._calling(heard.tool_call_id or ""), self._result(heard)]
            case "CUSTOM":
                return self._custom(heard.name or "", heard.value)
            case "MESSAGES_SNAPSHOT":
                self._snapshot = _last_answer(heard.messages)
            case "RUN_FINISHED":
                return [*ended, *self._finished(heard)]
            case "RUN_ERROR":
                raise self._failure(heard)
        return []

    # --- text -----------------------------------------------------------------------------------

    def _said(self, kind: str, heard: Heard) -> list[TurnEvent]:
        """Text of the assistant; what anybody else is told to have said is passed over."""
        if kind == "TEXT_MESSAGE_END":
            return self._answer()
        id_ = heard.message_id or self._message or "-"
        events = self._answer() if id_ != self._message else []
        self._message = id_
        if heard.role not in (None, "assistant"):
            self._others = id_
        if id_ != self._others and isinstance(heard.delta, str) and heard.delta:
            self._grow(heard.delta)
            self._text += heard.delta
            if self._held is None:
                events.append(TextDelta(text=heard.delta))
        return events

    def _grow(self, text: str) -> None:
        self._size += len(text)
        if self._size > TEXT_LIMIT:
            raise AgentFailed(f"{self._who} answers with more than {TEXT_LIMIT} characters")

    def _answer(self) -> list[TurnEvent]:
        """The message that has come to its end, if one was open; a question is held back."""
        text, besides = self._text, self._besides
        self._message, self._text = "", ""
        if self._held is not None:
            if text and isinstance(self._held, InputRequired):
                self._held = self._held.but(message=_message(text))
            return []
        if not text and not besides.binary_data:
            return []
        self._besides, self._answered = Besides(), True
        return [
            Answer(
                message=_message(text, besides.binary_data),
                context=besides.context,
                anonymization_entities=besides.anonymization_entities,
            )
        ]

    # --- tools ----------------------------------------------------------------------------------

    def _called(self, heard: Heard) -> list[TurnEvent]:
        id_ = heard.tool_call_id or self._last_call
        before = self._calling(self._last_call) if id_ != self._last_call else []
        self._last_call = id_
        name, arguments = self._calls.get(id_, (heard.tool_call_name or "", ""))
        added = heard.delta if isinstance(heard.delta, str) else ""
        self._grow(added)
        self._calls[id_] = (heard.tool_call_name or name, arguments + added)
        return before

    def _calling(self, id_: str) -> list[TurnEvent]:
        """The call, once its arguments are whole."""
        found = self._calls.pop(id_, None)
        if found is None:
            return []
        name, text = found
        self._names[id_] = name
        try:
            arguments = orjson.loads(text or "{}")
        except orjson.JSONDecodeError:
            arguments = {"text": text}
        known = arguments if isinstance(arguments, dict) else {"value": arguments}
        return [ToolCall(id=id_, name=name, arguments=known)]

    def _result(self, heard: Heard) -> ToolResult:
        id_, content = heard.tool_call_id or "", heard.content
        text = content if isinstance(content, str) else json_text(content)
        name = self._names.get(id_, "")
        if text.startswith("error: "):
            return ToolResult(id=id_, name=name, error=text.removeprefix("error: "))
        return ToolResult(id=id_, name=name, result=text)

    # --- our own events -------------------------------------------------------------------------

    def _custom(self, name: str, value: Any) -> list[TurnEvent]:
        """What a custom event of ours means; one that cannot be read is passed over."""
        try:
            return self._ours(name, value if isinstance(value, dict) else {})
        except ValidationError:
            return []

    def _ours(self, name: str, value: dict[str, Any]) -> list[TurnEvent]:
        match name:
            case names.AGENT if not self._started:
                return [Started.model_validate(value)]
            case names.DECISION:
                return [Decided(decision=Decision.model_validate(value))]
            case names.STATUS:
                return [StatusUpdate.model_validate(value)]
            case names.CONTEXT:
                self._besides = Besides.model_validate(value)
            case names.INPUT_REQUIRED:
                context = Besides.model_validate(value).context
                self._held = InputRequired(message=_message(""), context=context)
            case names.HANDOVER:
                self._held = Handover.model_validate(value)
        return []

    # --- the end --------------------------------------------------------------------------------

    def _finished(self, heard: Heard) -> list[TurnEvent]:
        if self._held is not None:
            return [self._held]
        if question := _interrupt(heard.outcome):
            return [question]
        usage = Usage(
            model=next((t.model for t in heard.usage if t.model), ""),
            input_tokens=sum(tokens.input_tokens for tokens in heard.usage),
            output_tokens=sum(tokens.output_tokens for tokens in heard.usage),
            requests=len(heard.usage),
        )
        if self._answered:
            return [Done(usage=usage)]
        if not self._snapshot:
            raise AgentFailed(f"{self._who} answered nothing")
        return [Answer(message=_message(self._snapshot)), Done(usage=usage)]

    def _failure(self, heard: Heard) -> LmosError:
        message = (heard.message or "no reason given")[:500]
        cls = code_to_error(heard.code or "")
        if cls is LmosError:
            return AgentFailed(f"{self._who} failed: {message}")
        return cls.rebuilt(message, {})


def _message(text: str, binary: tuple[BinaryData, ...] = ()) -> Message:
    return Message(role="assistant", content=text, binary_data=binary)


def _interrupt(outcome: Any) -> InputRequired | None:
    """The first thing that a run waits for, as a question."""
    found = outcome.get("interrupts") if isinstance(outcome, dict) else None
    first = found[0] if isinstance(found, list) and found else None
    if not isinstance(first, dict):
        return None
    text = str(first.get("message") or first.get("reason") or "")
    context = {names.APPROVAL: json_text(first.get("metadata") or {})}
    return InputRequired(message=_message(text), context=context)


def _last_answer(messages: Any) -> str:
    """The text of the last message, when it is the assistant's."""
    last = messages[-1] if isinstance(messages, list) and messages else None
    if not isinstance(last, dict) or last.get("role") != "assistant":
        return ""
    content = last.get("content")
    return content if isinstance(content, str) else ""
