"""A turn that is sent again: its result is told once more, and nobody is asked.

Callers repeat a turn, under the same turn id, when they do not know what became of it. The results
of a conversation's last turns are noted beside it, in the same write that remembers what was said:
a turn is remembered and can be repeated, or neither. A repetition that comes while the turn is
still running waits for it, as every turn of the conversation does, and then finds its result.

A turn that failed, or whose caller left, was not remembered; repeated, it is tried again.
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import orjson

from lmos.model import (
    TURN_EVENT,
    Answer,
    Decided,
    Done,
    InputRequired,
    Started,
    TextDelta,
    Turn,
    TurnEvent,
    errors,
)

#: Results kept of a conversation, and bytes that one may have.
KEPT, SIZE = 4, 64 * 1024
#: Under which they are noted.
NOTE = "turns"
#: What of a turn is kept to be told again.
TOLD = (Started, Decided, Answer, InputRequired, Done)


def noted(
    notes: Mapping[str, Any], turn: Turn, events: Sequence[TurnEvent]
) -> dict[str, list[dict[str, str]]]:
    """What to note beside the conversation so that the turn can be repeated: its events that are
    `TOLD`. An answer has its text, in whatever pieces it came.
    """
    data = b"[" + b",".join(e.json_bytes() for e in events) + b"]"
    result = {"id": turn.turn_id, "said": _said(turn)}
    if len(data) <= SIZE:
        result["events"] = data.decode()  # as text, so that turns need not take it apart
    return {NOTE: [*notes.get(NOTE, ())[1 - KEPT :], result]}


def repeated(notes: Mapping[str, Any], turn: Turn) -> list[TurnEvent] | None:
    """The events of the turn where it was answered before, None where it is new.

    `Conflict` when its id was given to something else that the user said, or when its result was
    too large to be kept.
    """
    found = next((r for r in notes.get(NOTE, ()) if r["id"] == turn.turn_id), None)
    if found is None:
        return None
    if found["said"] != _said(turn):
        raise errors.Conflict(
            f"the turn id {turn.turn_id} was given to another message of this conversation; give "
            "each message an id of its own, and the same one only to repeat it"
        )
    if "events" not in found:
        raise errors.Conflict(
            f"turn {turn.turn_id} was answered before, with more than the {SIZE} bytes that are "
            "kept to be repeated; read the answer in the conversation"
        )
    return list(_told(orjson.loads(found["events"])))


def check_once(notes: Mapping[str, Any], turn: Turn) -> None:
    """`AgentUnavailable` where the turn was answered by somebody else meanwhile: repeated, it gets
    that answer.
    """
    if any(result["id"] == turn.turn_id for result in notes.get(NOTE, ())):
        raise errors.AgentUnavailable(
            f"turn {turn.turn_id} was answered by another process meanwhile; send it again to get "
            "that answer"
        )


def _told(kept: Sequence[Any]) -> Iterator[TurnEvent]:
    for data in kept:
        event = TURN_EVENT.validate_python(data)
        if isinstance(event, Answer) and event.message.content:
            yield TextDelta(text=event.message.content)
        yield event


def _said(turn: Turn) -> str:
    """Stands for who says what to whom in the turn."""
    message = [m.wire() for m in turn.messages[-1:]]
    data = orjson.dumps([message, turn.agent, turn.user.id])
    return blake2b(data, digest_size=12).hexdigest()
