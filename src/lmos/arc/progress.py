"""Where a conversation stands in an agent's use cases: explicit, typed, stored, replayable.

`Progress` changes by moves and by nothing else; `replay` of a conversation's moves gives its
progress again. What is to be said never depends on anything that is not in it, in the turn or in
the document.
"""

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from lmos.arc.context import Context

#: Use cases remembered as used, and moves kept.
MAX_USED, MAX_MOVES = 50, 200
_KEY = "progress"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Chose(_Frozen):
    """The use case is followed from now on, `step` of its steps having been told."""

    move: Literal["chose"] = "chose"
    use_case: str
    known: Mapping[str, Any] = Field(default_factory=dict)
    step: int = 0


class Learned(_Frozen):
    """Arguments are known, by the names of their parameters."""

    move: Literal["learned"] = "learned"
    known: Mapping[str, Any]


class Asked(_Frozen):
    """The user was asked for `tool.parameter`, or to approve the calls of `approve:tool`."""

    move: Literal["asked"] = "asked"
    what: str


class Stepped(_Frozen):
    """A step was told, and waits for the user's yes where it is a question."""

    move: Literal["stepped"] = "stepped"
    waits: bool = True


class Confirmed(_Frozen):
    """The user said yes to the step, or to the calls, that waited for it."""

    move: Literal["confirmed"] = "confirmed"


class Offered(_Frozen):
    """The options of a flow were offered."""

    move: Literal["offered"] = "offered"


class Took(_Frozen):
    """The user took the option that leads to the case."""

    move: Literal["took"] = "took"
    case: str


class Solved(_Frozen):
    """The solution was told; the use case has been used."""

    move: Literal["solved"] = "solved"


class Ended(_Frozen):
    """The use case, or its flow, is over; what the user says next may still refer to it."""

    move: Literal["ended"] = "ended"


class Lost(_Frozen):
    """The message was for no use case."""

    move: Literal["lost"] = "lost"


Move = Annotated[
    Chose | Learned | Asked | Stepped | Confirmed | Offered | Took | Solved | Ended | Lost,
    Field(discriminator="move"),
]
MOVES: TypeAdapter[list[Move]] = TypeAdapter(list[Move])


class Progress(_Frozen):
    """The use case, how many of its steps were told and whether the last one waits for a yes, the
    arguments known, what was asked for, the cases taken in its flow (None: it is in none), and the
    use cases used so far, oldest first.
    """

    use_case: str = ""
    step: int = 0
    waits: bool = False
    known: Mapping[str, Any] = Field(default_factory=dict)
    asked: str = ""
    flow: tuple[str, ...] | None = None
    used: tuple[str, ...] = ()

    def after(self, move: Move) -> "Progress":
        """The progress that the move makes of this one."""
        match move:
            case Chose():
                return Progress(
                    use_case=move.use_case, known=move.known, step=move.step, used=self.used
                )
            case Learned():
                return self._but(known={**self.known, **move.known}, asked="")
            case Asked():
                return self._but(asked=move.what)
            case Stepped():
                return self._but(step=self.step + 1, waits=move.waits, asked="")
            case Confirmed():
                return self._but(waits=False, asked="")
            case Offered():
                return self._but(flow=self.flow or ())
            case Took():
                return self._but(flow=(*(self.flow or ()), move.case))
            case Solved():
                used = (*self.used, self.use_case)[-MAX_USED:]
                return self._but(step=0, waits=False, asked="", used=used)
            case Ended():
                return Progress(use_case=self.use_case, used=self.used)
            case Lost():
                return Progress(used=self.used)

    def _but(self, **changes: Any) -> "Progress":
        return self.model_copy(update=changes)


def replay(moves: Iterable[Move]) -> Progress:
    """The progress that the moves of a conversation lead to."""
    return reduce(Progress.after, moves, Progress())


class Journey:
    """A conversation's progress while a turn is answered, with the moves that made it."""

    def __init__(self, progress: Progress, moves: list[Move]) -> None:
        self.progress = progress
        self.moves = moves

    @classmethod
    async def of(cls, ctx: Context) -> "Journey":
        """The journey of the turn's conversation so far."""
        kept = await ctx.memory.get(_KEY, scope="conversation")
        if not kept:
            return cls(Progress(), [])
        return cls(Progress.model_validate(kept["progress"]), MOVES.validate_python(kept["moves"]))

    def go(self, move: Move) -> None:
        """Makes the move."""
        self.progress = self.progress.after(move)
        self.moves.append(move)

    async def keep(self, ctx: Context) -> None:
        """Keeps it for the conversation's next turn."""
        value = {
            "progress": self.progress.model_dump(mode="json"),
            "moves": MOVES.dump_python(self.moves[-MAX_MOVES:], mode="json"),
        }
        await ctx.memory.put(_KEY, value)
