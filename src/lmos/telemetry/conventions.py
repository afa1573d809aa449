"""What spans say, in the words of one of two conventions.

OpenTelemetry's for generative AI (`gen_ai.*`) is the default, OpenInference (`llm.*`, `tool.*`) the
other. What is to be said is given in neutral words, and a table has the names. All of it is pure.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lmos.model import errors

Spec = Literal["gen_ai", "openinference"]
Kind = Literal["agent", "chain", "llm", "tool", "retriever"]
Attributes = dict[str, Any]

_SPECS: dict[str, Spec] = {"": "gen_ai", "gen_ai": "gen_ai", "openinference": "openinference"}
_TRUE = ("1", "true", "yes", "on", "span_only", "span_and_event")

#: Neutral word -> attribute. A word that a convention does not have is left out.
_NAMES: dict[Spec, dict[str, str]] = {
    "gen_ai": {
        "agent": "gen_ai.agent.name",
        "version": "gen_ai.agent.version",
        "description": "gen_ai.agent.description",
        "conversation": "gen_ai.conversation.id",
        "provider": "gen_ai.provider.name",
        "model": "gen_ai.request.model",
        "response_model": "gen_ai.response.model",
        "response_id": "gen_ai.response.id",
        "finish_reasons": "gen_ai.response.finish_reasons",
        "input_tokens": "gen_ai.usage.input_tokens",
        "output_tokens": "gen_ai.usage.output_tokens",
        "output_type": "gen_ai.output.type",
        "tool": "gen_ai.tool.name",
        "tool_description": "gen_ai.tool.description",
        "call": "gen_ai.tool.call.id",
        "arguments": "gen_ai.tool.call.arguments",
        "result": "gen_ai.tool.call.result",
        "definitions": "gen_ai.tool.definitions",
        "input": "arc.input",
        "output": "arc.output",
    },
    "openinference": {
        "agent": "agent.name",
        "version": "version",
        "description": "description",
        "conversation": "session.id",
        "provider": "llm.provider",
        "model": "llm.model_name",
        "input_tokens": "llm.token_count.prompt",
        "output_tokens": "llm.token_count.completion",
        "total_tokens": "llm.token_count.total",
        "tool": "tool.name",
        "tool_description": "tool.description",
        "call": "tool_call.id",
        "arguments": "tool_call.function.arguments",
        "input": "input.value",
        "output": "output.value",
        "result": "output.value",
    },
}
#: The same in both.
_COMMON = {
    "status": "status",
    "use_case": "usecase.id",
    "error": "error.type",
    "triggered": "arc.filter.triggered",
    "tenant": "lmos.tenant",
    "channel": "lmos.channel",
    "subset": "lmos.subset",
    "turn_id": "lmos.turn.id",
    "chosen": "lmos.agent",
    "chosen_version": "lmos.agent.version",
    "capability": "lmos.capability",
    "outcome": "lmos.decision.outcome",
    "confidence": "lmos.decision.confidence",
    "out_of_scope": "lmos.decision.out_of_scope",
    "stage": "lmos.decision.stage",
    "router": "lmos.decision.router",
    "table": "lmos.decision.table",
    "sticky": "lmos.decision.sticky",
    "mode": "lmos.collaboration",
    "cost": "lmos.cost",
    "user": "user.id",
    "file": "arc.file",
}
_OPERATIONS = {"agent": "invoke_agent", "llm": "chat", "tool": "execute_tool"}
#: Settings of a request that `gen_ai.request.*` has.
_REQUEST = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "stop_sequences": "stop_sequences",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """How spans speak. `content` lets them tell what users, models and tools said, and who the user
    is; without it they do not.
    """

    spec: Spec = "gen_ai"
    content: bool = False

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """By `OTEL_SPEC` (`GEN_AI`, `OPENINFERENCE`) and
        `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`.
        """
        wanted = environment.get("OTEL_SPEC", "").lower()
        if wanted not in _SPECS:
            raise errors.InvalidInput(f"OTEL_SPEC={wanted!r} is not GEN_AI or OPENINFERENCE")
        content = environment.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "")
        return cls(_SPECS[wanted], content.lower() in _TRUE)

    def kind(self, kind: Kind) -> Attributes:
        """What says the kind of a span."""
        if self.spec == "openinference":
            return {"openinference.span.kind": kind.upper()}
        operation = _OPERATIONS.get(kind)
        return {"gen_ai.operation.name": operation} if operation else {}

    def told(self, **facts: Any) -> Attributes:
        """The facts as attributes; empty ones are left out."""
        names = {**_NAMES[self.spec], **_COMMON}
        return {
            names[word]: list(value) if isinstance(value, tuple) else value
            for word, value in facts.items()
            if word in names and value not in (None, "", ())
        }

    def said(self, **facts: Any) -> Attributes:
        """Facts that are told only with `content`."""
        return self.told(**facts) if self.content else {}

    def request(self, settings: Mapping[str, Any]) -> Attributes:
        """The settings of a request to a model."""
        plain = {k: v for k, v in settings.items() if k in _REQUEST and v is not None}
        if self.spec == "openinference":
            return {"llm.invocation_parameters": json.dumps(plain)} if plain else {}
        return {f"gen_ai.request.{_REQUEST[k]}": v for k, v in plain.items()}

    def messages(self, way: Literal["input", "output"], messages: Sequence[Any]) -> Attributes:
        """The messages of a request (`input`) or response (`output`), in the form of the gen_ai
        convention: a role and parts each.
        """
        if not self.content or not messages:
            return {}
        if self.spec == "openinference":
            return dict(_flat(f"llm.{way}_messages", messages))
        return {f"gen_ai.{way}.messages": json.dumps(messages, ensure_ascii=False, default=str)}


class _Silent(Settings):
    """Says nothing."""

    def kind(self, kind: Kind) -> Attributes:
        """Nothing."""
        return {}

    def told(self, **facts: Any) -> Attributes:
        """Nothing."""
        return {}

    def request(self, settings: Mapping[str, Any]) -> Attributes:
        """Nothing."""
        return {}


#: For turns that have no spans.
SILENT: Settings = _Silent()


def _flat(prefix: str, messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """The messages as OpenInference has them: an attribute each."""
    for number, message in enumerate(messages):
        at = f"{prefix}.{number}.message"
        yield f"{at}.role", str(message["role"])
        parts = message["parts"]
        texts = [
            str(p.get("content", p.get("result", ""))) for p in parts if p["type"] != "tool_call"
        ]
        if texts:
            yield f"{at}.content", "\n".join(texts)
        for index, part in enumerate(p for p in parts if p["type"] == "tool_call"):
            call = f"{at}.tool_calls.{index}.tool_call"
            yield f"{call}.function.name", part["name"]
            given = part.get("arguments")
            text = given if isinstance(given, str) else json.dumps(given, default=str)
            yield f"{call}.function.arguments", text


def gen_ai_messages(history: Sequence[Any]) -> list[Any]:
    """pydantic-ai's messages in the form of the gen_ai convention."""
    from pydantic_ai.models.instrumented import InstrumentationSettings

    return list(InstrumentationSettings().messages_to_otel_messages(list(history)))
