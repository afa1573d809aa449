"""A turn's events under the names and keys that ARC gives them, which its inspector charts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lmos.model import (
    TERMINAL,
    Answer,
    Decided,
    Done,
    Failed,
    Handover,
    InputRequired,
    Share,
    Started,
    ToolCall,
    ToolResult,
    Turn,
    TurnEvent,
    Usage,
)
from lmos.protocols.text import json_text

STARTED, FINISHED = "AgentStartedEvent", "AgentFinishedEvent"
CALLING, CALLED = "LLMFunctionStartedEvent", "LLMFunctionCalledEvent"
MODEL, ROUTED = "LLMFinishedEvent", "RouterRoutedEvent"
HANDED_OVER, USE_CASE = "AgentHandOverTriggered", "UseCaseEvent"
SHARED = "AgentSharedEvent"


@dataclass(frozen=True, slots=True)
class AgentEvent:
    """Something that happened in a turn. `payload` is a JSON object as text."""

    type: str
    payload: str
    conversation_id: str | None = None
    turn_id: str | None = None


class Naming:
    """The events of one turn. Times are in seconds (Unix), durations in seconds."""

    def __init__(self, turn: Turn, began: float) -> None:
        self._turn, self._began = turn, began
        self._agent = ""
        self._calls: dict[str, tuple[ToolCall, float]] = {}
        self._called = 0
        self._use_case = ""

    def of(self, event: TurnEvent, now: float) -> list[AgentEvent]:
        """What ARC would tell of the event, often nothing."""
        named = [self._told(name, data, now) for name, data in self._about(event, now)]
        if isinstance(event, TERMINAL):
            named.append(self._told(FINISHED, self._ending(event, now), now))
        return named

    def _about(self, event: TurnEvent, now: float) -> list[tuple[str, dict[str, Any]]]:
        match event:
            case Started():
                self._agent = event.agent
                return [(STARTED, {"agent": event.agent, "version": event.version})]
            case Decided():
                return [(ROUTED, _routed(event))]
            case ToolCall():
                self._calls[event.id] = (event, now)
                return [(CALLING, {"name": event.name, "param": event.arguments, "id": event.id})]
            case ToolResult():
                return [(CALLED, self._result(event, now))]
            case Answer() | InputRequired():
                return self._chosen(event.context)
            case Share():
                return [(SHARED, {"share": event.wire()})]
            case Handover():
                return [(HANDED_OVER, {"fromAgent": self._agent, "toAgent": event.to})]
            case Done() if event.usage != Usage(model=event.usage.model):
                return [(MODEL, self._usage(event.usage, now))]
            case _:
                return []

    def _told(self, name: str, data: dict[str, Any], now: float) -> AgentEvent:
        ids = self._turn.conversation_id, self._turn.turn_id
        payload = {
            **data,
            "timestamp": datetime.fromtimestamp(now, UTC).isoformat(),
            "context": {"conversationId": ids[0], "turnId": ids[1], "agent": self._agent},
        }
        return AgentEvent(name, json_text(payload), *ids)

    def _result(self, event: ToolResult, now: float) -> dict[str, Any]:
        self._called += 1
        call, since = self._calls.pop(event.id, (None, now))
        return {
            "id": event.id,
            "name": event.name,
            "param": call.arguments if call else {},
            "result": event.result,
            "duration": now - since,
            **({"error": event.error} if event.error else {}),
        }

    def _chosen(self, context: Mapping[str, str]) -> list[tuple[str, dict[str, Any]]]:
        found = context.get("useCase", "")
        if not found or found == self._use_case:
            return []
        self._use_case = found
        return [(USE_CASE, {"useCaseId": found})]

    def _usage(self, usage: Usage, now: float) -> dict[str, Any]:
        return {
            "model": usage.model,
            "promptTokens": usage.input_tokens,
            "completionTokens": usage.output_tokens,
            "totalTokens": usage.input_tokens + usage.output_tokens,
            "requests": usage.requests,
            "functionCallCount": self._called,
            "duration": now - self._began,
        }

    def _ending(self, event: TurnEvent, now: float) -> dict[str, Any]:
        usage = event.usage if isinstance(event, Done) else Usage()
        return {
            "agent": {"name": self._agent},
            "model": usage.model,
            "duration": now - self._began,
            "flowBreak": isinstance(event, Handover | InputRequired),
            "functionCallCount": self._called,
            **({"error": event.error.message} if isinstance(event, Failed) else {}),
        }


def _routed(event: Decided) -> dict[str, Any]:
    decision = event.decision
    return {
        "destination": decision.agent,
        "accuracy": decision.confidence,
        "decision": decision.wire(),
    }
