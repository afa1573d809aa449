"""What may come in: how much, and in what state."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from lmos.model import Message
from lmos.model.errors import InvalidInput, TooLarge

MESSAGES_LIMIT = 200
TEXT_LIMIT = 100_000
NAME_LIMIT = 256
#: The header that says how many seconds the turn may take, and the most that it may say.
TIMEOUT, TIMEOUT_LIMIT = "x-turn-timeout", 3600.0

M = TypeVar("M", bound=BaseModel)


def parsed(model: type[M], data: Any) -> M:
    """The data as the model, or `InvalidInput` that names every field in error."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise invalid(error) from None


def invalid(error: ValidationError) -> InvalidInput:
    """What pydantic found, as our error: each field with what is wrong, not the values."""
    fields = {
        ".".join(str(part) for part in found["loc"]) or "body": found["msg"]
        for found in error.errors(include_url=False, include_input=False)[:10]
    }
    text = "; ".join(f"{name}: {what}" for name, what in fields.items())
    return InvalidInput(f"the request is not valid: {text}", fields=fields)


def check_messages(messages: Sequence[Message]) -> None:
    """Raises unless there are messages, not too many nor too long, and the last says something."""
    if not messages:
        raise InvalidInput("there are no messages: send at least the user's new one")
    if len(messages) > MESSAGES_LIMIT:
        raise TooLarge(
            f"{len(messages)} messages are more than the {MESSAGES_LIMIT} allowed",
            limit=MESSAGES_LIMIT,
        )
    for number, message in enumerate(messages):
        if len(message.content) > TEXT_LIMIT:
            raise TooLarge(
                f"message {number} has {len(message.content)} characters, more than the "
                f"{TEXT_LIMIT} allowed",
                limit=TEXT_LIMIT,
            )
    last = messages[-1]
    if last.role != "user":
        raise InvalidInput(f"the last message must be the user's; its role is {last.role!r}")
    if not last.content.strip() and not last.binary_data:
        raise InvalidInput("the user's message is empty")


def check_name(what: str, name: str) -> str:
    """The name, unless it is empty or too long."""
    if not name.strip():
        raise InvalidInput(f"the {what} is empty")
    if len(name) > NAME_LIMIT:
        raise InvalidInput(f"the {what} is longer than {NAME_LIMIT} characters", limit=NAME_LIMIT)
    return name


def deadline_in(headers: Mapping[str, str]) -> datetime | None:
    """Until when the headers want the turn answered, None where they do not say."""
    seconds = seconds_in(headers)
    return None if seconds is None else datetime.now(UTC) + timedelta(seconds=seconds)


def seconds_in(headers: Mapping[str, str]) -> float | None:
    """How long the turn may take by the headers, None where they do not say."""
    text = headers.get(TIMEOUT)
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= TIMEOUT_LIMIT:
        raise InvalidInput(
            f"{TIMEOUT} is {text[:40]!r}; it must be seconds, above 0 and up to {TIMEOUT_LIMIT:g}"
        )
    return seconds
