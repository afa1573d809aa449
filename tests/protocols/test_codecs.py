"""What is written can be read again: properties of the codecs."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, TypeVar

import orjson
import pytest
from a2a.types import SendMessageRequest
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import given, settings
from hypothesis import strategies as st

from lmos.model import (
    BinaryData,
    Capability,
    Conversation,
    Description,
    Message,
    Model,
    StatusUpdate,
    TextDelta,
    Turn,
    TurnEvent,
    User,
)
from lmos.model.errors import AgentFailed
from lmos.protocols import sse
from lmos.protocols.a2a import card, codec
from lmos.protocols.lmos import capabilities
from lmos.protocols.lmos import codec as rest

M = TypeVar("M", bound=Model)


def build(model: type[M], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[M]:
    """Like `st.builds`, which would fill the fields once more by their wire names."""
    return st.fixed_dictionaries(fields).map(lambda given: model(**given))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
filled = texts.filter(lambda text: bool(text.strip()))
mappings = st.dictionaries(texts, texts, max_size=3)
binaries = build(BinaryData, mime_type=filled, data_as_base64=st.just("aGk="), source=st.none())
user_messages = build(
    Message,
    role=st.just("user"),
    content=filled,
    binary_data=st.lists(binaries, max_size=2).map(tuple),
)
messages = build(Message, role=st.sampled_from(["user", "assistant", "system"]), content=texts)
turns = build(
    Turn,
    tenant=filled,
    channel=filled,
    subset=filled,
    conversation_id=filled,
    turn_id=filled,
    user=build(User, id=texts, token=st.none() | texts, profile=mappings),
    messages=st.tuples(st.lists(messages, max_size=3), user_messages).map(lambda p: (*p[0], p[1])),
    system_context=mappings,
    agent=st.none() | filled,
)
capability_lists = st.lists(
    build(
        Capability,
        id=filled,
        name=filled,
        version=filled,
        description=texts,
        examples=st.lists(texts, max_size=2).map(tuple),
    ),
    max_size=3,
    unique_by=lambda c: c.id,
).map(tuple)
descriptions = build(
    Description,
    name=filled,
    version=filled,
    description=texts,
    supported_tenants=st.lists(texts, max_size=2).map(tuple),
    supported_channels=st.lists(texts, max_size=2).map(tuple),
    capabilities=capability_lists,
)
quick = settings(max_examples=60, deadline=None)


@quick
@given(turns)
def test_a_turn_travels_by_rest(turn: Turn) -> None:
    body = orjson.loads(orjson.dumps(rest.conversation_of(turn).wire()))
    again = rest.turn_of(
        rest.read_conversation(body),
        tenant=turn.tenant,
        conversation_id=turn.conversation_id,
        turn_id=turn.turn_id,
        subset=turn.subset,
    )
    assert again == turn
    assert Conversation.model_validate(body) == rest.conversation_of(turn)


@quick
@given(turns)
def test_a_turn_travels_by_a2a_even_through_the_sdk(turn: Turn) -> None:
    params = orjson.loads(orjson.dumps(codec.params_of(turn, extended=True)))
    assert codec.turn_of(codec.read_params(params)) == turn
    through = MessageToDict(ParseDict(params, SendMessageRequest()))
    assert codec.turn_of(codec.read_params(through)) == turn


@quick
@given(turns)
def test_without_the_extension_the_message_travels(turn: Turn) -> None:
    again = codec.turn_of(codec.read_params(codec.params_of(turn, extended=False)))
    assert again.conversation_id == turn.conversation_id
    assert again.messages == (turn.messages[-1],)
    assert (again.tenant, again.user) == ("", User())


@quick
@given(descriptions)
def test_a_description_travels_by_both_documents(description: Description) -> None:
    document = capabilities.document_of(description).wire()
    assert capabilities.description_of(document, "") == description.but(source=capabilities.PATH)
    found = card.card_of(description, "http://a")
    assert card.description_of(card.Card.model_validate(found), "") == description


@quick
@given(
    st.lists(build(TextDelta, text=texts) | build(StatusUpdate, text=texts), max_size=5),
    st.lists(st.integers(1, 9), min_size=1, max_size=20),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
)
def test_events_survive_any_cutting(
    events: list[TurnEvent], cuts: list[int], ending: bytes
) -> None:
    body = b": hello\n\n" + b"".join(rest.frame(event, 1) for event in events)
    body = body.replace(b"\n", ending)
    pieces: list[bytes] = []
    at = 0
    while at < len(body):
        step = cuts[len(pieces) % len(cuts)]
        pieces.append(body[at : at + step])
        at += step
    assert [rest.event_of(event) for event in _parsed(pieces)] == events


def _parsed(pieces: list[bytes], limit: int = sse.EVENT_LIMIT) -> list[sse.Event]:
    async def chunks() -> AsyncGenerator[bytes, None]:
        for piece in pieces:
            yield piece

    async def read() -> list[sse.Event]:
        return [event async for event in sse.parse(chunks(), limit)]

    return asyncio.run(read())


def test_an_unfinished_event_is_none() -> None:
    assert _parsed([b"data: 1\n\ndata: 2\n"]) == [sse.Event(b"1")]


def test_lines_of_data_are_joined_and_the_rest_is_read() -> None:
    body = b"id: 7\nevent: x\ndata: a\ndata:b\nretry: 3\nodd\n\n"
    assert _parsed([body]) == [sse.Event(b"a\nb", "x", "7")]


@pytest.mark.parametrize("piece", [b"data: xxxxxxxxxx", b"data: xxxx\n"])
def test_an_event_may_not_grow_for_ever(piece: bytes) -> None:
    with pytest.raises(AgentFailed, match="larger than 100 bytes"):
        _parsed([piece] * 30, limit=100)


def test_an_event_of_tomorrow_is_passed_over() -> None:
    assert rest.event_of(sse.Event(b'{"type": "hologram"}')) is None
    with pytest.raises(AgentFailed):
        rest.event_of(sse.Event(b'{"type": "text_delta"}'))
