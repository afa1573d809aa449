"""The nouns: events keep the grammar, errors keep their faces, wire forms keep their names."""

from collections.abc import AsyncGenerator

import pytest

from lmos.model import (
    TURN_EVENT,
    Answer,
    Decided,
    Decision,
    Done,
    Failed,
    Message,
    Started,
    TextDelta,
    Turn,
    TurnEvent,
    errors,
)
from lmos.model.grammar import GrammarError, checked

HELLO = Message(role="assistant", content="hello")
TURN = Turn(conversation_id="c", turn_id="t", messages=(Message(role="user", content="hi"),))


def sending(*events: TurnEvent):  # type: ignore[no-untyped-def]
    async def respond(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        for event in events:
            yield event

    return checked(respond)


async def test_a_turn_in_order_passes() -> None:
    events = (Started(agent="a"), TextDelta(text="hello"), Answer(message=HELLO), Done())
    assert [e async for e in sending(*events)(TURN)] == list(events)


@pytest.mark.parametrize(
    ("events", "what"),
    [
        ((), "without a terminal"),
        ((Done(),), "first event"),
        ((Started(agent="a"),), "without a terminal"),
        ((Started(agent="a"), Done()), "without a message"),
        ((Started(agent="a"), Started(agent="b")), "twice"),
        ((Started(agent="a"), Answer(message=HELLO), Done(), TextDelta(text="x")), "after the"),
    ],
)
async def test_a_turn_out_of_order_is_found(events: tuple[TurnEvent, ...], what: str) -> None:
    with pytest.raises(GrammarError, match=what):
        _ = [e async for e in sending(*events)(TURN)]


@pytest.mark.parametrize(
    "event",
    [
        Started(agent="billing-agent", version="1.2.0"),
        Decided(decision=Decision(outcome="out_of_scope", reason="nothing near")),
        Answer(message=HELLO, context={"useCase": "view_bill"}),
        Failed.of(errors.Overloaded("too much", retry_after=3)),
    ],
)
def test_events_survive_the_wire(event: TurnEvent) -> None:
    assert TURN_EVENT.validate_python(event.wire()) == event


def test_an_error_comes_back_as_its_class_with_its_details() -> None:
    again = Failed.of(errors.Overloaded("too much", retry_after=3)).exception()
    assert isinstance(again, errors.Overloaded)
    assert again.retry_after == 3
    assert str(again) == "too much"


def test_what_is_not_ours_keeps_its_inside_to_itself() -> None:
    event = Failed.of(ValueError("secret connection string"))
    assert event.error.code == "INTERNAL_SERVER_ERROR"
    assert "secret" not in event.error.message


def test_every_error_has_a_face() -> None:
    def classes(cls: type[errors.LmosError]) -> list[type[errors.LmosError]]:
        return [cls, *(c for sub in cls.__subclasses__() for c in classes(sub))]

    for cls in classes(errors.LmosError):
        face = errors.face_of(cls)
        assert 400 <= face.status < 600
        assert face.code.isupper()


def test_a_manifest_error_says_where() -> None:
    error = errors.InvalidManifest("must be text", file="a.yaml", line=3, field="spec.id")
    assert str(error) == "a.yaml:3: spec.id: must be text"


def test_a_turn_is_frozen_and_knows_its_text() -> None:
    assert TURN.text == "hi"
    assert TURN.history == ()
    with pytest.raises(ValueError, match="frozen"):
        TURN.tenant = "other"  # type: ignore[misc]
