"""AG-UI's runs as turns, and a turn's events as AG-UI's. Pure."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import ValidationError

from lmos.model import (
    STABLE,
    Answer,
    BinaryData,
    Decided,
    Done,
    Failed,
    Handover,
    InputRequired,
    Message,
    Share,
    Started,
    StatusUpdate,
    TextDelta,
    ToolCall,
    ToolResult,
    Turn,
    TurnEvent,
    Usage,
    User,
)
from lmos.model.errors import TooLarge
from lmos.protocols import limits
from lmos.protocols.agui import names
from lmos.protocols.text import json_text

if TYPE_CHECKING:
    from ag_ui.core import BaseEvent, ResumeEntry, RunAgentInput

#: Entries that `context` and `forwardedProps` may have, each.
ENTRIES_LIMIT = 200
ROLES = ("user", "assistant", "system", "developer")


def types() -> Any:
    """The protocol's own types, loaded when they are first used."""
    from ag_ui import core

    return core


# --- requests -------------------------------------------------------------------------------------


def read_input(data: Any) -> "RunAgentInput":
    """The run that is asked for, checked."""
    try:
        found: RunAgentInput = types().RunAgentInput.model_validate(data)
    except ValidationError as error:
        raise limits.invalid(error) from None
    limits.check_name("threadId", found.thread_id)
    limits.check_name("runId", found.run_id)
    for what, entries in (("context", found.context), ("forwardedProps", _forwarded(found))):
        if len(entries or ()) > ENTRIES_LIMIT:
            raise TooLarge(f"{what} has more than {ENTRIES_LIMIT} entries", limit=ENTRIES_LIMIT)
    return found


def turn_of(
    run: "RunAgentInput",
    *,
    tenant: str = "",
    channel: str = "",
    subset: str = STABLE,
    trace: Mapping[str, str] | None = None,
) -> Turn:
    """The turn of the run: thread and run are its conversation and id. An answer to an interrupt is
    the user's message where there is no newer one.
    """
    forwarded = _forwarded(run)
    approvals, answer = _resumed(run.resume or [])
    messages = [m for m in map(_message, run.messages) if m is not None]
    if answer and (not messages or messages[-1].role != "user"):
        messages.append(Message(role="user", content=answer))
    limits.check_messages(messages)
    context = {entry.description: entry.value for entry in run.context or ()}
    return Turn(
        tenant=tenant,
        channel=channel,
        subset=subset,
        conversation_id=run.thread_id,
        turn_id=run.run_id,
        user=User(id=forwarded.pop(names.USER, "")),
        messages=tuple(messages),
        system_context={**context, **forwarded, **approvals},
        trace=trace or {},
    )


def _forwarded(run: "RunAgentInput") -> dict[str, str]:
    """What the application passes through, as text; what is not a single value stays away."""
    found = run.forwarded_props if isinstance(run.forwarded_props, dict) else {}
    return {
        str(key): value if isinstance(value, str) else json_text(value)
        for key, value in found.items()
        if isinstance(value, str | bool | int | float)
    }


def _message(message: Any) -> Message | None:
    """A message of the conversation; None for what is not one: tools, activities, reasoning."""
    if message.role not in ROLES or not (message.content or message.role == "user"):
        return None
    if isinstance(message.content, str):
        return Message(role=message.role, content=message.content)
    texts = [part.text for part in message.content if part.type == "text"]
    binary = tuple(_binary(part) for part in message.content if part.type != "text")
    return Message(role=message.role, content="\n".join(texts), binary_data=binary)


def _binary(part: Any) -> BinaryData:
    source = part.source
    family = part.type if part.type in ("image", "audio", "video") else "*"
    mime_type = source.mime_type or f"{family}/*"
    if source.type == "data":
        return BinaryData(mime_type=mime_type, data_as_base64=source.value)
    return BinaryData(mime_type=mime_type, source=source.value)


def _resumed(entries: "list[ResumeEntry]") -> tuple[dict[str, str], str]:
    """What the answers to interrupts say: an approval where they are one, and a text."""
    for entry in entries:
        payload = entry.payload
        if isinstance(payload, dict):
            payload = payload.get("approved", payload)
        if entry.status == "cancelled" or payload is False:
            return {names.APPROVAL: names.DENIED}, "no"
        if payload is True or payload is None:
            return {names.APPROVAL: names.APPROVED}, "yes"
        return {}, payload if isinstance(payload, str) else json_text(payload)
    return {}, ""


# --- events ---------------------------------------------------------------------------------------


class Run:
    """The events of one run, from the turn's as they come."""

    def __init__(self, turn: Turn) -> None:
        self._turn, self._types = turn, types()
        self._open = ""
        self._streamed = False
        self._count = 0

    def begin(self) -> "BaseEvent":
        """The event that a run starts with."""
        core = self._types
        event: BaseEvent = core.RunStartedEvent(
            thread_id=self._turn.conversation_id,
            run_id=self._turn.turn_id,
            protocol_version=core.PROTOCOL_VERSION,
        )
        return event

    def of(self, event: TurnEvent) -> "list[BaseEvent]":
        """What an event of the turn adds."""
        match event:
            case Started():
                value = {"agent": event.agent, "version": event.version}
                return [self._custom(names.AGENT, value)]
            case Decided():
                return [self._custom(names.DECISION, event.decision.wire())]
            case StatusUpdate():
                told = event.model_dump(exclude={"type"}, exclude_none=True)
                return [self._custom(names.STATUS, told)]
            case TextDelta():
                self._streamed = True
                return self._text(event.text)
            case ToolCall():
                return [*self._closed(), *self._call(event)]
            case ToolResult():
                return [self._result(event)]
            case Answer():
                return self._answer(event)
            case Share():  # for who asks agents, not for users
                return []
            case _:
                return self._end(event)

    def _custom(self, name: str, value: Any) -> "BaseEvent":
        event: BaseEvent = self._types.CustomEvent(name=name, value=value)
        return event

    def _id(self) -> str:
        self._count += 1
        return f"{self._turn.turn_id}-m{self._count}"

    # --- text -----------------------------------------------------------------------------------

    def _text(self, text: str) -> "list[BaseEvent]":
        """The piece of text, in the message that is open or a new one."""
        if not text:
            return []
        events: list[BaseEvent] = []
        if not self._open:
            self._open = self._id()
            start = self._types.TextMessageStartEvent(message_id=self._open, role="assistant")
            events.append(start)
        content = self._types.TextMessageContentEvent(message_id=self._open, delta=text)
        return [*events, content]

    def _closed(self) -> "list[BaseEvent]":
        """The end of the message that is open, if one is."""
        if not self._open:
            return []
        id_, self._open = self._open, ""
        return [self._types.TextMessageEndEvent(message_id=id_)]

    def _answer(self, event: Answer) -> "list[BaseEvent]":
        text = [] if self._streamed else self._text(event.message.content)
        self._streamed = False
        besides = {
            "context": dict(event.context),
            "binaryData": [part.wire() for part in event.message.binary_data],
            "anonymizationEntities": [e.wire() for e in event.anonymization_entities],
        }
        told = [self._custom(names.CONTEXT, besides)] if any(besides.values()) else []
        return [*text, *told, *self._closed()]

    # --- tools ----------------------------------------------------------------------------------

    def _call_id(self, id_: str) -> str:
        """An id of the call in the thread: an agent's own may be those of a turn only."""
        return f"{self._turn.turn_id}-{id_}"

    def _call(self, event: ToolCall) -> "list[BaseEvent]":
        core, id_ = self._types, self._call_id(event.id)
        arguments = json_text(event.arguments)
        return [
            core.ToolCallStartEvent(tool_call_id=id_, tool_call_name=event.name),
            core.ToolCallArgsEvent(tool_call_id=id_, delta=arguments),
            core.ToolCallEndEvent(tool_call_id=id_),
        ]

    def _result(self, event: ToolResult) -> "BaseEvent":
        content = event.result if event.error is None else f"error: {event.error}"
        id_ = self._call_id(event.id)
        found: BaseEvent = self._types.ToolCallResultEvent(
            message_id=self._id(), tool_call_id=id_, content=content, role="tool"
        )
        return found

    # --- the end --------------------------------------------------------------------------------

    def _end(self, event: TurnEvent) -> "list[BaseEvent]":
        core = self._types
        match event:
            case Done():
                return [*self._closed(), self._finished(usage=_usage(core, event.usage))]
            case InputRequired():
                return self._asked(event)
            case Handover():
                value = event.model_dump(exclude={"type"})
                told = self._custom(names.HANDOVER, value)
                text = [*self._closed(), told, *self._text(event.reason), *self._closed()]
                return [*text, self._finished(result={"handover": value})]
            case Failed():
                error = core.RunErrorEvent(message=event.error.message, code=event.error.code)
                return [*self._closed(), error]
        return []

    def _asked(self, event: InputRequired) -> "list[BaseEvent]":
        told = self._custom(names.INPUT_REQUIRED, {"context": dict(event.context)})
        question = [] if self._streamed else self._text(event.message.content)
        events = [told, *question, *self._closed()]
        if names.APPROVAL not in event.context:
            return [*events, self._finished(result={"inputRequired": True})]
        outcome = self._types.RunFinishedInterruptOutcome(
            interrupts=[self._interrupt(event)],
        )
        return [*events, self._finished(outcome=outcome)]

    def _interrupt(self, event: InputRequired) -> Any:
        """The approval that the agent asks for, with the tool call that it is about."""
        try:
            asked = orjson.loads(event.context[names.APPROVAL])
        except orjson.JSONDecodeError:
            asked = {}
        asked = asked if isinstance(asked, dict) else {}
        approved = {"type": "boolean"}
        return self._types.Interrupt(
            id=str(asked.get("id") or self._turn.turn_id),
            reason="approval",
            message=event.message.content,
            response_schema={"type": "object", "properties": {"approved": approved}},
            metadata=asked or None,
        )

    def _finished(self, **more: Any) -> "BaseEvent":
        event: BaseEvent = self._types.RunFinishedEvent(
            thread_id=self._turn.conversation_id, run_id=self._turn.turn_id, **more
        )
        return event


def _usage(core: Any, usage: Usage) -> Any:
    if not (usage.input_tokens or usage.output_tokens):
        return None
    return [
        core.TokenUsage(
            model=usage.model or None,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            total_tokens=usage.input_tokens + usage.output_tokens,
        )
    ]
