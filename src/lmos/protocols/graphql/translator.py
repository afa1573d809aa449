"""What an agent behind ARC's GraphQL sends, as a turn's events again. Pure."""

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
    KeyValue,
    Message,
    Model,
    Share,
    Started,
    StatusUpdate,
    TextDelta,
    ToolCall,
    ToolResult,
    TurnEvent,
    Usage,
)
from lmos.model.base import Tuple
from lmos.model.errors import AgentFailed, InvalidInput
from lmos.protocols import limits
from lmos.protocols.answering import SEPARATOR
from lmos.protocols.graphql import codec, naming
from lmos.protocols.text import json_text

#: Characters that an answer may have in pieces.
TEXT_LIMIT = 4 * 1024 * 1024

QUERY = """
subscription Agent($agentName: String, $request: AgentRequestInput!) {
  agent(agentName: $agentName, request: $request) {
    status type responseTime
    messages { role content format turnId binaryData { mimeType dataAsBase64 source } }
    context { key value }
    anonymizationEntities { type value replacement }
    toolCalls { name arguments }
  }
}
"""


class Said(Model):
    """A message in a result."""

    content: str = ""
    format: str | None = None
    binary_data: Tuple[BinaryData] = ()


class AgentResult(Model):
    """A result, as far as it matters here."""

    status: str | None = None
    type: str | None = None
    messages: Tuple[Said] = ()
    context: Tuple[KeyValue] = ()
    anonymization_entities: Tuple[AnonymizationEntity] = ()


class Happening(Model):
    """The payload of an event, as far as it matters here. Anybody may have written it."""

    id: str = ""
    name: str = ""
    agent: Any = None
    version: str = ""
    param: Any = None
    result: Any = None
    error: Any = None
    decision: Any = None
    share: Any = None
    model: str = ""
    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)
    requests: int = Field(default=1, ge=0)


class Translator:
    """The results of one turn of `agent` as events; `who` names it in messages."""

    def __init__(self, agent: str, who: str) -> None:
        self._agent, self._who = agent, who
        self._started = False
        self._pieces = ""
        self._usage = Usage()
        self._calls: dict[str, str] = {}
        self._count = 0

    def read(self, data: Any) -> list[TurnEvent]:
        """The events of a result; the last one of the turn among them ends it."""
        result = self._result(data)
        context = {entry.key: entry.value for entry in result.context}
        match result.type or codec.MESSAGE:
            case codec.EVENT:
                events = self._happened(context)
            case codec.INTERMEDIATE:
                events = self._said(_text(result), codec.STREAMED in context)
            case codec.MESSAGE:
                events = self._ended(result, context)
            case codec.ERROR:
                raise AgentFailed(f"{self._who} failed: {_text(result)[:500]}")
            case _:
                events = []
        return self._begun(events)

    def _result(self, data: Any) -> AgentResult:
        found = data.get("agent") if isinstance(data, dict) else None
        if not isinstance(found, dict):
            raise AgentFailed(f"{self._who} sent a result without data")
        try:
            return limits.parsed(AgentResult, found)
        except InvalidInput as error:
            raise AgentFailed(f"{self._who} sent a result that cannot be read: {error}") from None

    def _begun(self, events: list[TurnEvent]) -> list[TurnEvent]:
        if self._started:
            return events
        self._started = True
        if events and isinstance(events[0], Started):
            return events
        return [Started(agent=self._agent), *events]

    def _said(self, text: str, streamed: bool) -> list[TurnEvent]:
        if not streamed:
            return [StatusUpdate(text=text)] if text else []
        self._pieces += text
        if len(self._pieces) > TEXT_LIMIT:
            raise AgentFailed(f"{self._who} answers with more than {TEXT_LIMIT} characters")
        return [TextDelta(text=text)]

    # --- the end --------------------------------------------------------------------------------

    def _ended(self, result: AgentResult, context: dict[str, str]) -> list[TurnEvent]:
        status = None if result.status in (None, "null", "") else result.status
        message = self._message(result)
        if status is not None and status.startswith("AGENT_HANDOVER"):
            capability = context.get(codec.HANDOVER_CAPABILITY, "")
            to = status.removeprefix("AGENT_HANDOVER").strip("[]")
            return [
                Handover(
                    to=to,
                    capability=capability,
                    reason=message.content,
                    anonymization_entities=result.anonymization_entities,
                )
            ]
        if not message.content and not message.binary_data:
            raise AgentFailed(f"{self._who} answered nothing")
        if status is not None:
            context = {codec.CLASSIFICATION: status, **context}
        asked = context.pop(codec.INPUT_REQUIRED, None)
        rest = self._rest(message.content)
        if asked:
            asking = InputRequired(
                message=message,
                context=context,
                anonymization_entities=result.anonymization_entities,
            )
            return [*rest, asking]
        answer = Answer(
            message=message,
            context=context,
            anonymization_entities=result.anonymization_entities,
        )
        return [*rest, answer, Done(usage=self._usage)]

    def _message(self, result: AgentResult) -> Message:
        format_ = next((m.format for m in result.messages if m.format), "text")
        binary = tuple(part for m in result.messages for part in m.binary_data)
        text = _text(result)
        return Message(role="assistant", content=text, format=format_, binary_data=binary)

    def _rest(self, text: str) -> list[TurnEvent]:
        """What the pieces still lack of the whole text, when there were any."""
        if not self._pieces or not text.startswith(self._pieces) or text == self._pieces:
            return []
        return [TextDelta(text=text[len(self._pieces) :])]

    # --- events ---------------------------------------------------------------------------------

    def _happened(self, context: Mapping[str, str]) -> list[TurnEvent]:
        """What an event means here; one that cannot be read is passed over."""
        try:
            found = Happening.model_validate_json(context.get("eventData", "{}"))
        except ValidationError:
            return []
        match context.get("eventType"):
            case naming.STARTED if not self._started:
                return [Started(agent=_name(found.agent) or self._agent, version=found.version)]
            case naming.ROUTED:
                return _decided(found.decision)
            case naming.SHARED:
                return _shared(found.share)
            case naming.CALLING:
                return [self._call(found)]
            case naming.CALLED:
                return self._called(found)
            case naming.MODEL:
                self._add(found)
        return []

    def _call(self, found: Happening) -> ToolCall:
        self._count += 1
        id_ = self._calls[found.id or found.name] = found.id or str(self._count)
        return ToolCall(id=id_, name=found.name, arguments=_arguments(found.param))

    def _called(self, found: Happening) -> list[TurnEvent]:
        key = found.id or found.name
        before = [] if key in self._calls else [self._call(found)]
        error = None if found.error is None else str(found.error)
        id_ = self._calls.pop(key)
        result = "" if found.result is None else _shown(found.result)
        return [*before, ToolResult(id=id_, name=found.name, result=result, error=error)]

    def _add(self, found: Happening) -> None:
        before = self._usage
        self._usage = Usage(
            model=found.model or before.model,
            input_tokens=before.input_tokens + found.prompt_tokens,
            output_tokens=before.output_tokens + found.completion_tokens,
            requests=before.requests + found.requests,
        )


def _text(result: AgentResult) -> str:
    return SEPARATOR.join(message.content for message in result.messages if message.content)


def _name(agent: Any) -> str:
    found = agent.get("name") if isinstance(agent, dict) else agent
    return found if isinstance(found, str) else ""


def _decided(found: Any) -> list[TurnEvent]:
    try:
        return [Decided(decision=Decision.model_validate(found))]
    except ValidationError:
        return []


def _shared(found: Any) -> list[TurnEvent]:
    try:
        return [Share.model_validate(found)]
    except ValidationError:
        return []


def _arguments(param: Any) -> dict[str, Any]:
    if isinstance(param, str):
        try:
            param = orjson.loads(param)
        except orjson.JSONDecodeError:
            return {"param": param}
    if param is None:
        return {}
    return param if isinstance(param, dict) else {"param": param}


def _shown(result: Any) -> str:
    return result if isinstance(result, str) else json_text(result)
