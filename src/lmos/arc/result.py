"""What came of a turn, for those who wait for its end."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import orjson
from pydantic import BaseModel

from lmos.model import (
    AnonymizationEntity,
    Answer,
    Done,
    Failed,
    Handover,
    InputRequired,
    ToolCall,
    TurnEvent,
    Usage,
)

Out = TypeVar("Out")


@dataclass(frozen=True, slots=True)
class Result(Generic[Out]):
    """An answered turn. `output` is the answer: an object of the declared type, else its text.
    `question` when the agent wants to know more; `handover` names who should answer instead.
    """

    output: Out
    text: str
    events: tuple[TurnEvent, ...]
    context: Mapping[str, str]
    usage: Usage
    question: bool = False
    handover: str = ""
    entities: tuple[AnonymizationEntity, ...] = ()

    @property
    def use_case(self) -> str:
        """The use case that was followed, empty when there is none."""
        return self.context.get("useCase", "")

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The tools that were called."""
        return tuple(event for event in self.events if isinstance(event, ToolCall))

    def typed(self, output: Any) -> "Result[Any]":
        """The same with an object for its text."""
        return replace(self, output=output)

    def __str__(self) -> str:
        return self.text


def collected(events: list[TurnEvent]) -> Result[str]:
    """The result that a turn's events add up to. A failure among them is raised."""
    texts: list[str] = []
    context: dict[str, str] = {}
    usage, question, handover = Usage(), False, ""
    entities: tuple[AnonymizationEntity, ...] = ()
    for event in events:
        match event:
            case Answer():
                texts.append(event.message.content)
                context.update(event.context)
                entities = event.anonymization_entities
            case InputRequired():
                texts.append(event.message.content)
                context.update(event.context)
                question = True
                entities = event.anonymization_entities
            case Handover():
                handover = event.to or event.capability
                entities = event.anonymization_entities
            case Done():
                usage = event.usage
            case Failed():
                raise event.exception()
    text = "\n\n".join(texts)
    return Result(text, text, tuple(events), context, usage, question, handover, entities)


def request_text(value: Any) -> str:
    """A request as the text of a message: text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    return orjson.dumps(value, default=str).decode()
