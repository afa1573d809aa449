"""Messages, and the Conversation that an application sends to the runtime.

`Conversation` is the body of the runtime's REST API exactly as clients of the original send it.
"""

from typing import Literal

from pydantic import Field

from lmos.model.base import Model, Tuple

Role = Literal["user", "assistant", "system", "developer"]


class BinaryData(Model):
    """An attachment: its bytes in base64, or a `source` from which they come."""

    mime_type: str
    data_as_base64: str | None = None
    source: str | None = None


class Message(Model):
    """One message of a conversation."""

    role: Role
    content: str
    format: str = "text"
    turn_id: str | None = None
    binary_data: Tuple[BinaryData] = ()


class AnonymizationEntity(Model):
    """A value taken out of the text: where `replacement` stands, `value` stood."""

    type: str
    value: str
    replacement: str


class KeyValue(Model):
    """An entry of a context."""

    key: str
    value: str


class InputContext(Model):
    """What the user says, with the history so far (or the new message alone)."""

    messages: Tuple[Message]
    explicit_agent: str | None = None
    anonymization_entities: Tuple[AnonymizationEntity] = ()


class SystemContext(Model):
    """Where the message came in."""

    channel_id: str = Field(min_length=1)
    context_params: Tuple[KeyValue] = ()


class UserContext(Model):
    """Who is speaking."""

    user_id: str = ""
    user_token: str | None = None
    context_params: Tuple[KeyValue] = ()


class Conversation(Model):
    """The request of the runtime's REST API."""

    input_context: InputContext
    system_context: SystemContext
    user_context: UserContext = UserContext()
