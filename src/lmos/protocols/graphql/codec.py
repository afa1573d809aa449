"""Requests of ARC's GraphQL protocol as turns, and a turn's events as its results. Pure.

A result is a mapping with the fields of the type `AgentResult`. The original sends what an agent
says in between as INTERMEDIATE_MESSAGE and then one MESSAGE; so do we. Only a caller that sets
`enableStreaming` in the system context gets the text in pieces as well, marked in their context by
`STREAMED`, and only one that sets `enableEventing` gets EVENTs.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError

from lmos.model import (
    STABLE,
    TERMINAL,
    AnonymizationEntity,
    Failed,
    Handover,
    InputRequired,
    KeyValue,
    Message,
    Model,
    SharedValue,
    StatusUpdate,
    TextDelta,
    ToolCall,
    Turn,
    TurnEvent,
    User,
)
from lmos.model.base import Tuple
from lmos.model.errors import InvalidInput, TooLarge
from lmos.protocols import limits
from lmos.protocols.answering import Outcome, Texts
from lmos.protocols.graphql.naming import AgentEvent, Naming
from lmos.protocols.text import json_text

#: Entries that a context, a profile and the anonymization entities may have, each.
ENTRIES_LIMIT = 200
#: Keys of the system context by which a caller asks for pieces of text and for events.
STREAMING, EVENTING = "enableStreaming", "enableEventing"
#: Keys of the system context that carry what the protocol has no field for.
TENANT, CHANNEL = "tenantId", "channelId"
#: What other agents share with the one asked, as JSON.
SHARED = "lmosShared"
#: Keys of a result's context: a piece of the text; a question; what a hand-over says besides.
STREAMED, INPUT_REQUIRED = "streamed", "inputRequired"
HANDOVER_CAPABILITY, CLASSIFICATION = "handoverCapability", "classification"

MESSAGE, INTERMEDIATE, EVENT, ERROR = "MESSAGE", "INTERMEDIATE_MESSAGE", "EVENT", "ERROR"
ROLES = ("user", "assistant")

Result = dict[str, Any]
_SHARED: TypeAdapter[tuple[SharedValue, ...]] = TypeAdapter(tuple[SharedValue, ...])


class ConversationContext(Model):
    """Which conversation, and which turn of it."""

    conversation_id: str
    turn_id: str | None = None
    anonymization_entities: Tuple[AnonymizationEntity] = ()


class UserContext(Model):
    """Who is speaking."""

    user_id: str | None = None
    user_token: str | None = Field(default=None, repr=False)
    profile: Tuple[KeyValue] = ()


class AgentRequest(Model):
    """The argument `request`."""

    messages: Tuple[Message]
    conversation_context: ConversationContext
    system_context: Tuple[KeyValue] = ()
    user_context: UserContext = UserContext()


# --- requests -------------------------------------------------------------------------------------


def read_request(data: Mapping[str, Any]) -> AgentRequest:
    """The request, checked against the limits."""
    for message in data.get("messages", ()):
        if message.get("role") not in ROLES:
            raise InvalidInput(
                f"a message has the role {message.get('role')!r}; this protocol knows "
                f"{' and '.join(ROLES)}"
            )
    request = limits.parsed(AgentRequest, data)
    limits.check_messages(request.messages)
    limits.check_name("conversation id", request.conversation_context.conversation_id)
    for what, entries in (
        ("system context", request.system_context),
        ("profile", request.user_context.profile),
        ("anonymization entities", request.conversation_context.anonymization_entities),
    ):
        if len(entries) > ENTRIES_LIMIT:
            raise TooLarge(
                f"the {what} has {len(entries)} entries, more than the {ENTRIES_LIMIT} allowed",
                limit=ENTRIES_LIMIT,
            )
    return request


def turn_of(
    request: AgentRequest,
    agent: str | None,
    *,
    tenant: str = "",
    channel: str = "",
    subset: str = STABLE,
    trace: Mapping[str, str] | None = None,
) -> Turn:
    """The turn that the last message begins. Its id is the context's, else that of the message,
    else the number of messages. Attachments of the assistant are dropped, as the original does.
    """
    given, user, last = request.conversation_context, request.user_context, request.messages[-1]
    system = {entry.key: entry.value for entry in request.system_context}
    shared = _shared(system.pop(SHARED, None))
    turn_id = given.turn_id or last.turn_id or str(len(request.messages))
    return Turn(
        tenant=tenant or system.get(TENANT, ""),
        channel=channel or system.get(CHANNEL, ""),
        subset=subset,
        conversation_id=given.conversation_id,
        turn_id=limits.check_name("turn id", turn_id),
        user=User(
            id=user.user_id or "",
            token=user.user_token,
            profile={entry.key: entry.value for entry in user.profile},
        ),
        messages=tuple(_without_binary(m) for m in request.messages),
        system_context=system,
        anonymization_entities=given.anonymization_entities,
        agent=agent,
        trace=trace or {},
        shared=shared,
    )


def _shared(text: str | None) -> tuple[SharedValue, ...] | None:
    if text is None:
        return None
    try:
        return _SHARED.validate_json(text)
    except ValidationError as error:
        raise limits.invalid(error) from None


def _without_binary(message: Message) -> Message:
    return message if message.role == "user" else message.but(binary_data=())


def request_of(turn: Turn) -> AgentRequest:
    """The request that asks for the turn, with pieces of text and events. Messages that are not
    the user's or the assistant's stay behind: the protocol has no room for them.
    """
    extra = {TENANT: turn.tenant, CHANNEL: turn.channel}
    system = {**{key: value for key, value in extra.items() if value}, **turn.system_context}
    system.pop(SHARED, None)  # nobody but us says what is shared
    if turn.shared is not None:
        system[SHARED] = json_text([value.wire() for value in turn.shared])
    return AgentRequest(
        messages=tuple(m for m in turn.messages if m.role in ROLES),
        conversation_context=ConversationContext(
            conversation_id=turn.conversation_id,
            turn_id=turn.turn_id,
            anonymization_entities=turn.anonymization_entities,
        ),
        system_context=_entries({**system, STREAMING: "true", EVENTING: "true"}),
        user_context=UserContext(
            user_id=turn.user.id or None,
            user_token=turn.user.token,
            profile=_entries(turn.user.profile),
        ),
    )


def _entries(mapping: Mapping[str, str]) -> tuple[KeyValue, ...]:
    return tuple(KeyValue(key=key, value=value) for key, value in mapping.items())


# --- results --------------------------------------------------------------------------------------


class Reply:
    """The results of one turn, from its events as they come. Times are in seconds (Unix)."""

    def __init__(self, turn: Turn, began: float) -> None:
        self._turn, self._began = turn, began
        self._streaming = _is_on(turn, STREAMING)
        self._naming = Naming(turn, began) if _is_on(turn, EVENTING) else None
        self._texts, self._unsent = Texts(), ""
        self._outcome = Outcome()
        self._calls: list[dict[str, str]] = []

    def of(self, event: TurnEvent, now: float) -> list[Result]:
        """What the event adds; for a turn that failed, its EVENTs at the most."""
        self._outcome.add(event)
        results = [_event(e, self._took(now)) for e in self._named(event, now)]
        if isinstance(event, ToolCall):
            arguments = json_text(event.arguments)
            self._calls.append({"name": event.name, "arguments": arguments})
        if isinstance(event, StatusUpdate):
            results.append(_said(event.text, self._took(now)))
        if self._streaming and (piece := self._piece(event)):
            results.append(_said(piece, self._took(now), _context({STREAMED: "true"})))
        if isinstance(event, TERMINAL) and not isinstance(event, Failed):
            results.append(self._whole(self._took(now)))
        return results

    def _piece(self, event: TurnEvent) -> str:
        """Text to send now: that of a delta, after what came whole and was not sent yet. What is
        not followed by a delta is told by the last result alone.
        """
        self._unsent += self._texts.of(event)
        if not isinstance(event, TextDelta):
            return ""
        piece, self._unsent = self._unsent, ""
        return piece

    def _took(self, now: float) -> float:
        return max(now - self._began, 0.0)

    def _named(self, event: TurnEvent, now: float) -> list[AgentEvent]:
        return self._naming.of(event, now) if self._naming else []

    def _whole(self, seconds: float) -> Result:
        """The one MESSAGE that ends the turn. It always has one message, empty at the most."""
        found = self._outcome
        messages = list(found.messages)
        if isinstance(found.terminal, InputRequired):
            messages.append(found.terminal.message)
        entities = found.entities or self._turn.anonymization_entities
        return {
            "type": MESSAGE,
            "status": status_of(found),
            "responseTime": seconds,
            "messages": [_joined(messages, found.text)],
            "anonymizationEntities": [entity.wire() for entity in entities],
            "context": _context(context_of(found)),
            "toolCalls": self._calls,
        }


def _is_on(turn: Turn, key: str) -> bool:
    return turn.system_context.get(key, "").lower() == "true"


def status_of(outcome: Outcome) -> str | None:
    """The classification of a turn, None when there is none to tell."""
    if isinstance(outcome.terminal, Handover):
        return f"AGENT_HANDOVER[{outcome.terminal.to}]"
    return outcome.context.get(CLASSIFICATION) or None


def context_of(outcome: Outcome) -> dict[str, str]:
    """What a turn tells besides its text."""
    terminal = outcome.terminal
    if isinstance(terminal, InputRequired):
        return {**outcome.context, **terminal.context, INPUT_REQUIRED: "true"}
    if isinstance(terminal, Handover) and terminal.capability:
        return {**outcome.context, HANDOVER_CAPABILITY: terminal.capability}
    return outcome.context


def _context(context: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in context.items()]


def _joined(messages: Iterable[Message], text: str) -> Result:
    found = list(messages)
    binary = [part.wire() for message in found for part in message.binary_data]
    format_ = found[0].format if len(found) == 1 else "text"
    return _message(text, format_, binary)


def _message(text: str, format_: str = "text", binary: list[Any] | None = None) -> Result:
    return {"role": "assistant", "content": text, "format": format_, "binaryData": binary or None}


def _said(text: str, seconds: float, context: list[dict[str, str]] | None = None) -> Result:
    return {
        "type": INTERMEDIATE,
        "responseTime": seconds,
        "messages": [_message(text)],
        "context": context,
    }


def _event(event: AgentEvent, seconds: float) -> Result:
    context = {"eventType": event.type, "eventData": event.payload}
    return {
        "type": EVENT,
        "responseTime": seconds,
        "messages": [],
        "context": _context(context),
    }
