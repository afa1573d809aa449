"""One answer of what several agents said, with who said what."""

import json
from collections.abc import Sequence
from typing import Any

from lmos.model import Answer, Failed, InputRequired, Message, Turn
from lmos.runtime.collaboration.parts import Part


def merged(turn: Turn, parts: Sequence[Part], text: str, outcome: str) -> Answer:
    """The text as the answer of all parts: their attachments, what their agents said beside it,
    and its sources.
    """
    answers = [answer for part in parts for answer in part.answers]
    messages = [message for part in parts for message in part.messages]
    return Answer(
        message=Message(
            role="assistant",
            content=text,
            turn_id=turn.turn_id,
            binary_data=tuple(data for message in messages for data in message.binary_data),
        ),
        context=_context(parts, outcome),
        anonymization_entities=tuple(
            entity for answer in answers for entity in answer.anonymization_entities
        ),
    )


def failed(parts: Sequence[Part]) -> Failed:
    """The first failure, with what every part failed of."""
    first = next(part.failure for part in parts if part.failure)
    return Failed(error=first.error.but(message="; ".join(part.why for part in parts)))


def _context(parts: Sequence[Part], outcome: str) -> dict[str, str]:
    """What the agents said beside their answers, each under its name, who answered, and `sources`:
    JSON with every part in its order.
    """
    answered = dict.fromkeys(part.agent for part in parts if not part.failure)
    context = {
        "outcome": outcome,
        "agents": ",".join(answered),
        "sources": json.dumps([_source(part) for part in parts], ensure_ascii=False),
    }
    for part in parts:
        said: list[Answer | InputRequired] = [*part.answers]
        for event in [*said, part.question] if part.question else said:
            context |= {f"{part.agent}.{key}": value for key, value in event.context.items()}
    return context


def _source(part: Part) -> dict[str, Any]:
    source: dict[str, Any] = {"agent": part.agent, "task": part.task.text}
    if part.task.capability:
        source["capability"] = part.task.capability
    if part.failure:
        source["failure"] = part.failure.error.message
    return source
