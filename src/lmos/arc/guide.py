"""A language model's way through the use cases: which one it follows, and how far that is.

The use cases nearest to the message are found first. When the nearest is sure the model reads it
at once; else it reads what each of them is for, and takes one with the tool `use_case`, whose
argument can only be one of their ids. A use case with Steps is read one step a turn, and which of
its solutions counts is decided here, never by the model. The progress is that of direct mode.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from lmos.arc.adl import (
    Option,
    UseCase,
    enforced_tools,
    lines_that_hold,
    parts_that_hold,
    present,
    rendered,
    rendered_role,
    solution_of,
)
from lmos.arc.adl.ast import references_of
from lmos.arc.choosing import facts_of, values_of
from lmos.arc.context import Context, Datum
from lmos.arc.options import RESET
from lmos.arc.progress import Chose, Ended, Journey, Offered, Solved, Stepped, Took
from lmos.arc.steps import at_step, line_of, saying, steps_of
from lmos.arc.tools import Tool, tool_of

if TYPE_CHECKING:
    from lmos.arc.agent import Agent

#: Use cases that a model may choose from in a turn.
OFFERED = 7
#: And where no embedder is installed that finds those that are near.
ALL = 100
#: The tool that it chooses with, and where a context keeps its guide.
TOOL = "use_case"

FOLLOW = (
    "Answer from the use case that fits what the user wants and do what its Solution says, calling "
    "the tools it names. Say quoted text as it is, with {{name}} filled from the tools' results. "
    "Ask when something you need is missing."
)
CHOOSE = (
    f"Before you answer a request, call {TOOL} with the id of the use case that fits, and follow "
    "what it gives back. When none fits, say that you cannot help with it; make nothing up."
)
OTHERS = f"Should another one fit better, call {TOOL} with its id and follow that instead:"


class Guide:
    """The use cases of one turn with a model."""

    def __init__(self, agent: "Agent[Any, Any]", ctx: Context, journey: Journey) -> None:
        self._agent = agent
        self._ctx = ctx
        self._journey = journey
        self._facts = facts_of(ctx, journey.progress)
        self._offered: tuple[UseCase, ...] = ()
        self._current: UseCase | None = None
        self._command: Option | None = None

    @classmethod
    async def of(cls, agent: "Agent[Any, Any]", ctx: Context) -> "Guide":
        """The guide of a turn, with what is near its message found."""
        guide = ctx.local[TOOL] = cls(agent, ctx, await Journey.of(ctx))
        if not await guide._takes():
            await guide._choose()
        return guide

    def prompt(self) -> str:
        """What the model reads of the use cases."""
        parts = [
            rendered_role(self._agent.document.roles, self._facts, values_of(self._ctx)),
            FOLLOW,
        ]
        others = [case for case in self._offered if case is not self._current]
        if self._current is None:
            parts += [CHOOSE, _listed(others)]
        else:
            parts += [self._text(self._current)]
            parts += [OTHERS, _listed(others)] if others else []
        return "\n\n".join(filter(None, parts))

    @property
    def tool(self) -> Tool | None:
        """The tool to choose with, None where there is nothing to choose."""
        others = tuple(case.id for case in self._offered if case is not self._current)
        return choosing_tool(others) if others else None

    def chosen(self, name: str) -> str:
        """Follows the use case of that id; gives what the model reads of it."""
        case = next(case for case in self._offered if case.id == name)
        self._follow(case, step=0)
        return self._text(case)

    @property
    def missing(self) -> tuple[str, ...]:
        """The tools that must be called before the answer and have not been."""
        if self._current is None:
            return ()
        done = {call.name for call in self._ctx.calls if call.error is None}
        named = enforced_tools(self._shown(self._current), self._facts)
        return tuple(name for name in named if name not in done)

    def heard(self, piece: str) -> str:
        """The piece of the reply as it is said."""
        return piece

    def rest(self) -> str:
        """What of the reply was held back."""
        return ""

    async def keep(self, *, answered: bool = True) -> None:
        """Keeps the progress, having moved on when the turn is answered."""
        if self._current is not None and answered:
            self._move_on(self._current)
        await self._journey.keep(self._ctx)

    # --- inside -----------------------------------------------------------------------------------

    async def _takes(self) -> bool:
        """Whether the message takes an option of the flow that the conversation is in."""
        progress, direct = self._journey.progress, self._agent.engine.direct
        current = direct.case(progress.use_case, self._facts)
        if progress.flow is None or current is None:
            return False
        offered = self._options(current)
        option = await direct.option(offered, self._ctx.text)
        self._ctx.watch.took(current.id, option, offered)
        if option is None or option.command == RESET:
            return False
        if option.reference and direct.case(option.reference, self._facts):
            self._journey.go(Took(case=option.reference))
        else:
            self._command = option
        self._current = current
        self._ctx.use_case = current.id
        return True

    async def _choose(self) -> None:
        """Finds what is near the message, and follows the nearest where that is sure."""
        progress, chooser = self._journey.progress, self._agent.engine.chooser
        choice = await chooser.choose(self._ctx, self._facts, progress.use_case, all_without=True)
        known = choice.meant or choice.doubt  # else nobody could look what is near
        self._offered = choice.ranked[: OFFERED if known else ALL]
        if choice.sure or (choice.continues and choice.ranked):
            same = choice.continues and choice.ranked[0].id == progress.use_case
            self._follow(choice.ranked[0], step=progress.step if same else 0)

    def _move_on(self, case: UseCase) -> None:
        progress = self._journey.progress
        in_flow = progress.flow is not None
        if not in_flow and progress.step < len(steps_of(case, self._facts)):
            self._journey.go(Stepped())
            return
        offers = self._command is None and bool(self._options(case))
        self._journey.go(Solved())
        if offers:
            self._journey.go(Offered())
        elif in_flow:
            self._journey.go(Ended())

    def _options(self, case: UseCase) -> list[Option]:
        shown = self._shown(case)
        held = parts_that_hold(shown.section(solution_of(shown, self._facts)), self._facts)
        return [part for part in held if isinstance(part, Option)]

    def _follow(self, case: UseCase, step: int) -> None:
        self._current = case
        self._ctx.use_case = case.id
        self._journey.go(Chose(use_case=case.id, step=step))

    def _shown(self, case: UseCase) -> UseCase:
        """The use case as it is told in this turn: its step, its solution, or where its flow is."""
        if self._command is not None:
            return saying(case, [line_of(self._command)])
        progress, direct = self._journey.progress, self._agent.engine.direct
        if progress.flow is None:
            return at_step(case, self._facts, progress.step)
        at = direct.case(progress.flow[-1], self._facts) if progress.flow else None
        return saying(case, (at or case).section("solution"))

    def _text(self, case: UseCase) -> str:
        shown = self._shown(case)
        held = shown.section(solution_of(shown, self._facts))
        self._ctx.solution = list(lines_that_hold(held, self._facts))
        cases = [shown, *self._referred(shown)]
        text = rendered(cases, self._facts, values_of(self._ctx))
        self._ctx.data.append(Datum(f"use case {case.id}", text))
        return text

    def _referred(self, case: UseCase) -> list[UseCase]:
        """The use cases that it refers to, and those that they refer to."""
        there = {c.id: c for c in present(self._agent.use_cases, self._facts) if c.id != case.id}
        found: dict[str, UseCase] = {}
        waiting = [case]
        while waiting:
            for part in waiting.pop().parts():
                for id_ in (reference.rpartition("/")[2] for reference in references_of(part)):
                    if id_ in there and id_ not in found:
                        found[id_] = there[id_]
                        waiting.append(there[id_])
        return list(found.values())


def choosing_tool(ids: tuple[str, ...]) -> Tool:
    """The tool with which a model takes one of the use cases."""
    found = _TOOLS.get(ids)
    if found is None:
        found = _choosing_tool(ids)
        if len(_TOOLS) > 256:
            _TOOLS.clear()
        _TOOLS[ids] = found
    return found


_TOOLS: dict[tuple[str, ...], Tool] = {}


def _choosing_tool(ids: tuple[str, ...]) -> Tool:
    async def use_case(ctx: Context, id: str) -> str:
        """Gives the use case to follow."""
        guide: Guide = ctx.local[TOOL]
        return guide.chosen(id)

    use_case.__annotations__["id"] = Literal[ids]
    return tool_of(use_case)


def _listed(cases: Sequence[UseCase]) -> str:
    return "\n".join(_line(case) for case in cases)


def _line(case: UseCase) -> str:
    examples = "; ".join(case.examples[:2])
    said = f' (for example: "{examples}")' if examples else ""
    return f"- {case.id}: {' '.join(case.description.split())}{said}"
