"""A turn: one user message and everything sent back.

The events of a turn follow one grammar, checked by `lmos.model.grammar`: `started` first, any
number of the others, and exactly one terminal event last: `done` (after at least one `message`),
`input_required`, `handover` or `error`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from lmos.model.base import Model, Tuple
from lmos.model.conversation import AnonymizationEntity, Message
from lmos.model.decision import Decision
from lmos.model.errors import LmosError, code_to_error, face_of
from lmos.model.resources import STABLE
from lmos.model.shared import Share, SharedValue


class User(Model):
    """Who is speaking. `claims` are verified, `profile` is what the application says."""

    id: str = ""
    token: str | None = Field(default=None, repr=False)
    claims: Mapping[str, Any] = Field(default_factory=dict)
    profile: Mapping[str, str] = Field(default_factory=dict)


#: A user who is not known.
NOBODY = User()


class Turn(Model):
    """All that an answer may depend on, besides the responder's own state.

    `messages` is the history with the new message last. `agent` names the agent that the caller
    insists on. `deadline` is an absolute, timezone-aware moment. `trace` carries W3C trace headers.
    `authorization` is the bearer token with which the next one is asked; it is no part of what is
    told, so it never stands in a turn's wire form. `shared` is what other agents share with this
    one, oldest first; None where the caller keeps nothing of the kind.
    """

    tenant: str = ""
    channel: str = ""
    subset: str = STABLE
    conversation_id: str
    turn_id: str
    user: User = Field(default_factory=lambda: NOBODY)
    messages: Tuple[Message]
    system_context: Mapping[str, str] = Field(default_factory=dict)
    anonymization_entities: Tuple[AnonymizationEntity] = ()
    agent: str | None = None
    deadline: datetime | None = None
    trace: Mapping[str, str] = Field(default_factory=dict)
    authorization: str = Field(default="", repr=False, exclude=True)
    shared: tuple[SharedValue, ...] | None = None

    @property
    def text(self) -> str:
        """What the user says in this turn: the last user message, empty when there is none."""
        return next((m.content for m in reversed(self.messages) if m.role == "user"), "")

    def saying(self, text: str) -> "Turn":
        """The turn with the text for what the user says in it, wherever that message stands."""
        said = next((m for m in reversed(self.messages) if m.role == "user"), None)
        changed = (m.but(content=text) if m is said else m for m in self.messages)
        return self.but(messages=tuple(changed))

    @property
    def history(self) -> tuple[Message, ...]:
        """The messages before the last one."""
        return self.messages[:-1]


# --- events --------------------------------------------------------------------------------------


class Started(Model):
    """Who answers the turn. The platform itself answers as `lmos`."""

    type: Literal["started"] = "started"
    agent: str
    version: str = ""


class Decided(Model):
    """What the router made of the turn."""

    type: Literal["decision"] = "decision"
    decision: Decision


class TextDelta(Model):
    """A piece of the answer's text, as it comes."""

    type: Literal["text_delta"] = "text_delta"
    text: str


class ToolCall(Model):
    """A tool is about to be called."""

    type: Literal["tool_call"] = "tool_call"
    id: str
    name: str
    arguments: Mapping[str, Any] = Field(default_factory=dict)


class ToolResult(Model):
    """What a tool gave back, as text; `error` instead where it failed."""

    type: Literal["tool_result"] = "tool_result"
    id: str
    name: str
    result: str = ""
    error: str | None = None


class StatusUpdate(Model):
    """What is going on, for a person to read. Where an agent is asked for a part of the turn,
    `agent` is who, `capability` what for, and `place` (from 0) which part.
    """

    type: Literal["status"] = "status"
    text: str
    agent: str | None = None
    capability: str | None = None
    place: int | None = None


class Answer(Model):
    """A whole message of the answer. The texts of the deltas before it, joined, are its content."""

    type: Literal["message"] = "message"
    message: Message
    context: Mapping[str, str] = Field(default_factory=dict)
    anonymization_entities: Tuple[AnonymizationEntity] = ()


class Handover(Model):
    """Terminal: somebody else should answer, an agent by name or whoever has a capability.

    `text` is what they should read in place of the user's words, where the agent's filters changed
    those, and `anonymization_entities` what stands for what in it.
    """

    type: Literal["handover"] = "handover"
    to: str = ""
    capability: str = ""
    reason: str = ""
    text: str = ""
    anonymization_entities: Tuple[AnonymizationEntity] = ()

    def onward(self, turn: Turn) -> Turn:
        """The turn for who answers next."""
        return turn.saying(self.text) if self.text else turn


class InputRequired(Model):
    """Terminal: the answer is a question, and the turn goes on with the user's reply."""

    type: Literal["input_required"] = "input_required"
    message: Message
    context: Mapping[str, str] = Field(default_factory=dict)
    anonymization_entities: Tuple[AnonymizationEntity] = ()


class ErrorInfo(Model):
    """An error as data."""

    code: str
    message: str
    details: Mapping[str, Any] = Field(default_factory=dict)


class Failed(Model):
    """Terminal: the turn failed."""

    type: Literal["error"] = "error"
    error: ErrorInfo

    @classmethod
    def of(cls, error: BaseException) -> "Failed":
        """The event for an error; what is not an `LmosError` keeps its inside to itself."""
        code = face_of(error).code
        if isinstance(error, LmosError):
            info = ErrorInfo(code=code, message=error.message, details=error.details)
        else:
            info = ErrorInfo(code=code, message="an internal error occurred; see the server's log")
        return cls(error=info)

    def exception(self) -> LmosError:
        """The event as an error to raise."""
        return code_to_error(self.error.code).rebuilt(self.error.message, self.error.details)


class Usage(Model):
    """What the turn took. `model` names the model that answered, `direct` for none; `cost` is in US
    dollars, 0 where it was not asked for.
    """

    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    requests: int = 0
    cost: float = 0.0

    def plus(self, other: "Usage") -> "Usage":
        """Both together."""
        return Usage(
            model=other.model or self.model,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            requests=self.requests + other.requests,
            cost=self.cost + other.cost,
        )


_NOTHING = Usage()


class Done(Model):
    """Terminal: the turn is answered."""

    type: Literal["done"] = "done"
    usage: Usage = Field(default_factory=lambda: _NOTHING)


TurnEvent = (
    Started
    | Decided
    | TextDelta
    | ToolCall
    | ToolResult
    | StatusUpdate
    | Share
    | Answer
    | Handover
    | InputRequired
    | Failed
    | Done
)

#: Events that end a turn.
Terminal = Done | InputRequired | Handover | Failed
TERMINAL = (Done, InputRequired, Handover, Failed)

#: Reads an event from its JSON form.
TURN_EVENT: TypeAdapter[TurnEvent] = TypeAdapter(Annotated[TurnEvent, Field(discriminator="type")])
