"""`Conversation` to `Turn` and back, and a turn's outcome and events as the REST API shows them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from pydantic import ValidationError

from lmos.model import (
    STABLE,
    TURN_EVENT,
    Conversation,
    Handover,
    InputContext,
    InputRequired,
    KeyValue,
    SystemContext,
    Turn,
    TurnEvent,
    User,
    UserContext,
)
from lmos.model.errors import AgentFailed, InvalidInput
from lmos.protocols import limits, sse
from lmos.protocols.answering import Outcome

#: Entries that a context may have.
CONTEXT_LIMIT = 200


def read_conversation(data: Any) -> Conversation:
    """The request's body, checked against the limits."""
    conversation = limits.parsed(Conversation, data)
    limits.check_messages(conversation.input_context.messages)
    for name, params in (
        ("systemContext", conversation.system_context.context_params),
        ("userContext", conversation.user_context.context_params),
    ):
        if len(params) > CONTEXT_LIMIT:
            raise InvalidInput(
                f"{name} has {len(params)} contextParams, more than the {CONTEXT_LIMIT} allowed"
            )
    return conversation


def turn_of(
    conversation: Conversation,
    *,
    tenant: str,
    conversation_id: str,
    turn_id: str,
    subset: str = STABLE,
    trace: Mapping[str, str] | None = None,
    deadline: datetime | None = None,
) -> Turn:
    """The turn that the conversation's last message begins."""
    given, user = conversation.input_context, conversation.user_context
    return Turn(
        tenant=tenant,
        channel=conversation.system_context.channel_id,
        subset=subset,
        conversation_id=conversation_id,
        turn_id=turn_id,
        user=User(id=user.user_id, token=user.user_token, profile=_mapping(user.context_params)),
        messages=given.messages,
        system_context=_mapping(conversation.system_context.context_params),
        anonymization_entities=given.anonymization_entities,
        agent=given.explicit_agent or None,
        trace=trace or {},
        deadline=deadline,
    )


def conversation_of(turn: Turn) -> Conversation:
    """The body with which a turn is asked for; tenant, ids, subset and trace travel beside it."""
    return Conversation(
        input_context=InputContext(
            messages=turn.messages,
            explicit_agent=turn.agent,
            anonymization_entities=turn.anonymization_entities,
        ),
        system_context=SystemContext(
            channel_id=turn.channel, context_params=_params(turn.system_context)
        ),
        user_context=UserContext(
            user_id=turn.user.id,
            user_token=turn.user.token,
            context_params=_params(turn.user.profile),
        ),
    )


def _mapping(params: tuple[KeyValue, ...]) -> dict[str, str]:
    return {param.key: param.value for param in params}


def _params(mapping: Mapping[str, str]) -> tuple[KeyValue, ...]:
    return tuple(KeyValue(key=key, value=value) for key, value in mapping.items())


def reply(outcome: Outcome, turn: Turn) -> dict[str, Any]:
    """The original's AssistantMessage with additions: who answered, why, and at what cost.

    A question back has `inputRequired: true`. An answer that hands over to somebody nobody could
    ask has `handover` with whom it meant; its content is the reason and may be empty.
    """
    body: dict[str, Any] = {
        "content": outcome.text,
        "anonymizationEntities": [entity.wire() for entity in outcome.entities],
        "agent": outcome.agent,
        "conversationId": turn.conversation_id,
        "turnId": turn.turn_id,
        "usage": outcome.usage.wire(),
    }
    context = dict(outcome.context)
    if outcome.decision is not None:
        body["decision"] = orjson.Fragment(outcome.decision.json_bytes())
    if isinstance(outcome.terminal, InputRequired):
        body["inputRequired"] = True
        context |= outcome.terminal.context
    if isinstance(outcome.terminal, Handover):
        body["handover"] = outcome.terminal.model_dump(exclude={"type"})
    return body | ({"context": context} if context else {})


def frame(event: TurnEvent, number: int) -> bytes:
    """The event as a server-sent one: its type is the name, its number in the turn the id."""
    return sse.frame(event.json_bytes(), event.type, str(number))


def event_of(event: sse.Event) -> TurnEvent | None:
    """The event again; None for a type that this version does not know."""
    try:
        return TURN_EVENT.validate_json(event.data)
    except ValidationError as error:
        if any(found["type"] == "union_tag_invalid" for found in error.errors()):
            return None
        raise AgentFailed(f"the event {event.name!r} of the stream cannot be read") from None
