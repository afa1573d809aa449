"""What was said in a conversation, for turns that bring only their new message.

The newest messages are kept, as many as fit in a window. What falls out of it is gone, unless there
is something to summarise it: then the older half of a full window is replaced by a summary, which
is told to the next turns in front of the messages and goes into the next summary. Summarising takes
as long as a language model takes; it happens beside the turns, and turns that come meanwhile lose
nothing by it.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from lmos.model import Message, State, Turn, errors
from lmos.state.keys import conversation_of, user_of
from lmos.state.updating import update
from lmos.state.users import note_part

#: Messages kept of a conversation, and characters in all of them together.
LIMIT, SIZE = 40, 200_000
#: Seconds after its last turn that a conversation is kept.
TTL = 30 * 24 * 3600.0
#: Characters kept of a summary.
SUMMARY = 10_000

#: Says in fewer words what these messages say. The first may be the summary so far, as `told` tells
#: it.
Summarise = Callable[[Sequence[Message]], Awaitable[str]]

#: What to note beside a conversation: as it is, or made of the conversation as it is when it is
#: written. What that raises is raised, and nothing is remembered.
Notes = Mapping[str, Any] | Callable[["Past"], Mapping[str, Any]]

_MESSAGES: TypeAdapter[list[Message]] = TypeAdapter(list[Message])
_INSTRUCTIONS = ("system", "developer")
_log = logging.getLogger("lmos.state")


@dataclass(frozen=True, slots=True)
class Window:
    """How much of a conversation is kept: messages, and the sum of what `measure` says of their
    texts, which is characters unless it counts tokens.
    """

    limit: int = LIMIT
    size: int = SIZE
    measure: Callable[[str], int] = len

    def __mul__(self, factor: float) -> "Window":
        return Window(max(1, int(self.limit * factor)), int(self.size * factor), self.measure)

    def over(self, messages: Sequence[Mapping[str, Any]]) -> int:
        """How many of the messages, from the oldest, do not fit. The newest always does, and what
        is left begins with what the user said where there is such a message.
        """
        if not messages:
            return 0
        last, room = len(messages) - 1, self.size
        first = last + 1
        while first and last - first + 2 <= self.limit:
            room -= self.measure(messages[first - 1]["content"])
            if room < 0:
                break
            first -= 1
        first = min(first, last)
        if first:
            asked = range(first, last + 1)
            first = next((n for n in asked if messages[n]["role"] != "assistant"), first)
        return first


@dataclass(frozen=True, slots=True)
class Past:
    """A conversation as it was read: its messages, oldest first and in wire form, the summary of
    what was before them, what was noted beside them, and its version (0: there is none).
    """

    messages: Sequence[dict[str, Any]] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    version: int = 0
    summary: str = ""
    value: Mapping[str, Any] | None = field(default=None, repr=False)

    @classmethod
    def read(cls, found: tuple[Any, int] | None) -> "Past":
        """From what a state gives."""
        if not found:
            return cls()
        value, version = found
        return cls(value["messages"], value["notes"], version, value["summary"], value)

    def before(self, turn: Turn) -> Turn:
        """The turn with what was said before its message. A turn that brings more than its own
        message has its history with it, and is given back as it is. Instructions are no history:
        those of the turn come first and replace what was kept of earlier ones.
        """
        instructions = tuple(m for m in turn.history if m.role in _INSTRUCTIONS)
        if len(instructions) != len(turn.history) or not self.messages:
            return turn
        kept = _MESSAGES.validate_python(self.messages)
        before = [m for m in kept if not instructions or m.role not in _INSTRUCTIONS]
        if self.summary:
            before.insert(0, told(self.summary))
        return turn.but(messages=(*instructions, *before, *turn.messages[-1:]))

    def knows(self, turn: Turn) -> bool:
        """Whether the turn's user, if known, is one of the conversation's."""
        return not turn.user.id or turn.user.id in self.users

    @property
    def users(self) -> Sequence[str]:
        """The known users who took part; the conversation is theirs."""
        return () if self.value is None else self.value["users"]


def told(summary: str) -> Message:
    """The summary as the message that stands for those it sums up. It is made of what users say,
    so it speaks with no more authority than they do.
    """
    return Message(role="user", content=f"(What was said before, in short: {summary})")


class History:
    """Remembers conversations in a `State`. Tenants, channels, conversations and owners are kept
    apart; the owner is the agent whose history it is, none for the platform's own.

    `limit` is in messages; `size` is in what `measure` counts, characters by default.
    """

    def __init__(
        self,
        state: State,
        *,
        owner: str = "",
        limit: int = LIMIT,
        size: int = SIZE,
        measure: Callable[[str], int] = len,
        summarise: Summarise | None = None,
        ttl: float = TTL,
    ) -> None:
        self._state = state
        self._owner = owner
        self._window = Window(limit, size, measure)
        self._summarise = summarise
        self._ttl = ttl
        self._summarising: dict[str, asyncio.Task[None]] = {}

    async def past(self, turn: Turn) -> Past:
        """What is remembered of the turn's conversation."""
        return Past.read(await self._state.get(self._key(turn)))

    async def recall(self, turn: Turn) -> Turn:
        """The turn with what was said before its message; see `Past.before`."""
        return (await self.past(turn)).before(turn)

    async def remember(
        self,
        turn: Turn,
        answer: Sequence[Message],
        *,
        past: Past | None = None,
        notes: Notes | None = None,
    ) -> None:
        """Adds the turn's message and the answer to the conversation, and notes beside them.

        `past`, as it was read before, saves reading it again; it is not trusted to be the newest:
        `notes` that are made of it are made once more where others have written meanwhile.
        Without it a turn that was given its history here brings back what was forgotten meanwhile.
        """
        if past is None:
            past = await self.past(turn)
        known = past.version > 0
        if not past.knows(turn):
            await note_part(self._state, turn, self._ttl)
        new = [m.wire() for m in (*turn.messages[-1:], *answer)]

        def added(value: Any) -> tuple[Any, float]:
            noted = _made(notes, past, value)
            value = value or _begun([] if known else [m.wire() for m in turn.history])
            return self._added(value, turn.user.id, new, noted), self._ttl

        seen = (past.value, past.version) if past.version else None
        what = f"conversation {turn.conversation_id}"
        try:
            kept = await update(self._state, self._key(turn), added, what, seen)
        except errors.NotFound:  # it has become somebody else's
            await self._state.delete(_part_of(turn))
            raise
        await note_part(self._state, turn, self._ttl)
        if self._summarise and self._window.over(kept["messages"]):
            self._begin_summarising(turn, self._summarise)

    async def settled(self) -> None:
        """Waits until what has to be summarised is."""
        await asyncio.gather(*self._summarising.values())

    def _key(self, turn: Turn) -> str:
        return conversation_of(turn, "history", self._owner)

    def _added(
        self, value: Any, user: str, new: Sequence[Any], notes: Mapping[str, Any]
    ) -> dict[str, Any]:
        messages = [*value["messages"], *new]
        # what waits for its summary may fill the window twice
        over = (self._window * (2 if self._summarise else 1)).over(messages)
        return {
            **value,
            "messages": messages[over:],
            "dropped": value["dropped"] + over,
            "notes": {**value["notes"], **notes},
            "users": sorted({*value["users"], user} - {""}),
        }

    # --- summarising ------------------------------------------------------------------------------

    def _begin_summarising(self, turn: Turn, summarise: Summarise) -> None:
        key = self._key(turn)
        if key not in self._summarising:
            task = asyncio.create_task(self._summarised(turn, summarise))
            self._summarising[key] = task
            task.add_done_callback(lambda _: self._summarising.pop(key))

    async def _summarised(self, turn: Turn, summarise: Summarise) -> None:
        """Puts a summary in the place of the older half of a full window."""
        try:
            past = await self.past(turn)
            if past.value:
                await self._shorten(turn, past, past.value, summarise)
        except Exception:
            _log.exception("a conversation was not summarised; its oldest messages will go")

    async def _shorten(
        self, turn: Turn, past: Past, seen: Mapping[str, Any], summarise: Summarise
    ) -> None:
        over = (self._window * 0.5).over(past.messages)
        if not over:
            return
        older = [Message.model_validate(message) for message in past.messages[:over]]
        summary = await summarise([told(past.summary), *older] if past.summary else older)
        same = (seen["born"], seen["dropped"])

        def shortened(value: Any) -> tuple[Any, float] | None:
            if not value or (value["born"], value["dropped"]) != same:
                return None  # forgotten, or shortened by another process meanwhile
            messages = value["messages"][over:]
            summed = {"summary": summary.strip()[:SUMMARY], "dropped": value["dropped"] + over}
            return {**value, "messages": messages, **summed}, self._ttl

        await update(self._state, self._key(turn), shortened, "the summary")


def _made(notes: Notes | None, past: Past, value: Any) -> Mapping[str, Any]:
    """The notes, for the conversation whose value is about to be replaced."""
    if not callable(notes):
        return notes or {}
    return notes(past if value is past.value else Past.read((value, 0) if value else None))


def _part_of(turn: Turn) -> str:
    """Where `note_part` notes that the turn's user takes part."""
    return user_of(turn.tenant, turn.user.id, "conversations", turn.channel, turn.conversation_id)


def _begun(messages: Sequence[Any]) -> dict[str, Any]:
    """A new conversation. `born` tells it from a later one of the same name."""
    return {
        "born": secrets.token_hex(4),
        "messages": list(messages),
        "dropped": 0,
        "summary": "",
        "notes": {},
        "users": [],
    }
