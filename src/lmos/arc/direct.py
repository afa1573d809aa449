"""Answering without a language model: find the use case, call its tools, say its replies.

    asked for an argument?  -> the message is the argument
    asked for approval?     -> yes makes the call, no leaves it
    in the middle of steps? -> yes goes on, no ends it
    options on offer?       -> the one that the message names
    continues?              -> the same use case, with what the message changes
    otherwise               -> the use case whose texts lie nearest, or an honest refusal

A use case with Steps shows one step a turn, then its solution; one that was used before its
alternative or fallback. What of it holds is decided by conditions. Where a tool stands in the text
it is called, its arguments read out of what the user says; one that is missing is asked for. Then
the quoted lines are said, filled with the results. All that is remembered is the `Progress`.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmos.arc import approval, options, words
from lmos.arc.adl import (
    RUNNERS,
    Facts,
    Fence,
    Line,
    Option,
    UseCase,
    mustache,
    parts_that_hold,
    solution_of,
)
from lmos.arc.adl.runners import run_fence
from lmos.arc.choosing import Choice, Chooser, facts_of, values_of
from lmos.arc.context import Context
from lmos.arc.progress import (
    Asked,
    Chose,
    Confirmed,
    Ended,
    Journey,
    Learned,
    Lost,
    Offered,
    Solved,
    Stepped,
    Took,
)
from lmos.arc.running import Wanted, run_tools
from lmos.arc.signals import Ask
from lmos.arc.steps import Held, line_of, steps_of
from lmos.arc.tools import Parameter, Tool, plain_data
from lmos.model import TurnEvent
from lmos.router.followup import form_of

#: What replies may name besides tools and what the user said for their parameters.
GIVEN = ("user", "tenant", "channel", "system")
#: Cosine from which a message means an option that it does not name.
NEAR = 0.4
#: Probability that nobody is meant, from which an agent that a router chose finds nothing either.
DOUBTED = 0.75
_APPROVE = "approve:"
_CHANGED_NOTHING = "All right, I have changed nothing."


@dataclass
class Reply:
    """What is to be said. `question` when the turn goes on with the user's answer."""

    text: str = ""
    use_case: str = ""
    question: bool = False
    context: dict[str, str] = field(default_factory=dict)


class Direct:
    """Answers turns from use cases and tools alone."""

    def __init__(
        self, use_cases: Sequence[UseCase], tools: Mapping[str, Tool], chooser: Chooser
    ) -> None:
        self._all = tuple(use_cases)
        self._cases = {case.id: case for case in reversed(self._all)}
        self._tools = tools
        self._chooser = chooser

    async def load(self) -> None:
        """Embeds the use cases; the first turn does it otherwise."""
        await self._chooser.load()

    async def respond(self, ctx: Context, reply: Reply) -> AsyncGenerator[TurnEvent, None]:
        """Fills the reply; yields the events of tools and status on the way."""
        turn = _DirectTurn(self, ctx, await Journey.of(ctx), reply)
        try:
            async for event in turn.events():
                yield event
        except Ask:  # the use case goes on with the user's answer
            await turn.journey.keep(ctx)
            raise
        await turn.journey.keep(ctx)

    # --- what a turn asks of it -------------------------------------------------------------------

    def case(self, name: str, facts: Facts) -> UseCase | None:
        """The use case of that id: of several the one that holds in the turn."""
        case = self._cases.get(name)
        if case is None or not case.conditions:
            return case
        same = [c for c in self._all if c.id == name and all(map(facts.holds, c.conditions))]
        return max(same, key=lambda c: len(c.conditions), default=case)

    async def choose(self, ctx: Context, facts: Facts, active: str) -> Choice:
        """The use cases that the message may be for."""
        return await self._chooser.choose(ctx, facts, active)

    async def option(self, offered: Sequence[Option], text: str) -> Option | None:
        """The option that the message takes: by its words, by its meaning, else the default."""
        if found := options.taken(offered, text):
            return found
        named = [o for o in offered if not o.default and not o.otherwise]
        if named:
            index, near = await self._chooser.nearest(text, [o.option for o in named])
            if near >= NEAR:
                return named[index]
        return options.instead(offered)

    def parameter(self, asked: str) -> Parameter | None:
        """The parameter that was asked for as `tool.parameter`."""
        tool, _, name = asked.partition(".")
        declared = self._tools[tool].parameters if tool in self._tools else ()
        return next((p for p in declared if p.name == name), None)

    def arguments(self, text: str, case: UseCase) -> dict[str, Any]:
        """Every argument of the use case's tools that the text gives."""
        found: dict[str, Any] = {}
        for name in case.tools:
            for parameter in self._tools[name].parameters if name in self._tools else ():
                value = words.find(parameter.annotation, text, pattern=parameter.pattern)
                if value is not None:
                    found[parameter.name] = _kept(value)
        return found

    def call(self, name: str, known: Mapping[str, Any]) -> Wanted | Parameter:
        """The call of a tool with what is known, or the parameter that has to be asked for. Where
        there is no such tool in this turn the call will say so.
        """
        tool = self._tools.get(name)
        if tool is None:
            return Wanted(None, name, {})
        arguments = {}
        for parameter in tool.parameters:
            if parameter.name in known:
                arguments[parameter.name] = known[parameter.name]
            elif parameter.required:
                return parameter
        return Wanted(tool, name, arguments)

    def refusal(self, there: Sequence[UseCase]) -> str:
        """What is said when no use case is meant."""
        offers = [case.examples[0] if case.examples else case.description for case in there[:6]]
        if not offers:
            return "I cannot help with that."
        lines = "\n".join(f"- {offer}" for offer in offers)
        return f"I cannot help with that. You can ask me, for example:\n{lines}"


class _DirectTurn:
    """One turn in direct mode."""

    def __init__(self, direct: Direct, ctx: Context, journey: Journey, reply: Reply) -> None:
        self.journey = journey
        self._direct = direct
        self._ctx = ctx
        self._reply = reply
        self._facts = facts_of(ctx, journey.progress)
        self._approved = ""
        self._command: Option | None = None

    async def events(self) -> AsyncGenerator[TurnEvent, None]:
        """The turn."""
        case = await self._next()
        if case is not None:
            async for event in self._follow(case):
                yield event

    # --- which use case ---------------------------------------------------------------------------

    async def _next(self) -> UseCase | None:
        """The use case to follow now; None when the reply is complete already."""
        progress = self.journey.progress
        current = self._direct.case(progress.use_case, self._facts)
        if current is not None:
            if progress.asked.startswith(_APPROVE):
                said = approval.verdict(self._ctx)
                if said is not None:
                    return self._approval(current, approved=said)
            elif progress.asked and self._learns(current):
                return current
            elif progress.waits and not progress.asked:
                if words.NO.search(self._ctx.text):
                    self._leave(current)
                    return None
                if words.YES.search(self._ctx.text):
                    self.journey.go(Confirmed())
                    return current
            if progress.flow is not None and await self._takes(current):
                return current
        return await self._choose(current)

    def _approval(self, current: UseCase, *, approved: bool) -> UseCase | None:
        if not approved:
            self._leave(current)
            return None
        self._approved = self.journey.progress.asked.removeprefix(_APPROVE)
        self.journey.go(Confirmed())
        return current

    def _leave(self, current: UseCase) -> None:
        self._reply.text, self._reply.use_case = _CHANGED_NOTHING, current.id
        self.journey.go(Ended())

    def _learns(self, current: UseCase) -> bool:
        """Whether the message gives the argument that was asked for; it is known then."""
        text = self._ctx.text
        parameter = self._direct.parameter(self.journey.progress.asked)
        if parameter is None or (form_of(text) == "whole" and parameter.annotation is str):
            return False
        value = words.find(parameter.annotation, text, asked=True, pattern=parameter.pattern)
        if value is None:
            return False
        known = {**self._direct.arguments(text, current), parameter.name: _kept(value)}
        self.journey.go(Learned(known=known))
        return True

    async def _takes(self, current: UseCase) -> bool:
        """Whether the message takes one of the options that were offered."""
        offered = [p for p in self._held(current) if isinstance(p, Option)]
        option = await self._direct.option(offered, self._ctx.text)
        self._ctx.watch.took(current.id, option, offered)
        if option is None or option.command == options.RESET:
            return False
        if option.reference and self._direct.case(option.reference, self._facts):
            self.journey.go(Took(case=option.reference))
        else:
            self._command = option
        return True

    async def _choose(self, current: UseCase | None) -> UseCase | None:
        ctx, progress = self._ctx, self.journey.progress
        choice = await self._direct.choose(ctx, self._facts, progress.use_case)
        form = form_of(ctx.text)
        if current is not None and choice.continues:
            found = current
        elif choice.ranked and (choice.meant or self._trusted(choice, form)):
            found = choice.ranked[0]
        else:
            self._reply.text = self._direct.refusal(choice.ranked)
            self._reply.context["unresolved"] = "true"
            self.journey.go(Lost())
            return None
        known = self._direct.arguments(ctx.text, found)
        if form != "whole":  # "cancel it" means what was spoken of
            known = {**progress.known, **known}
        goes_on = found is current and choice.continues and form != "whole"
        # A step that waits is told again, with what the message changed.
        step = progress.step - progress.waits if goes_on else 0
        self.journey.go(Chose(use_case=found.id, known=known, step=step))
        return found

    def _trusted(self, choice: Choice, form: str) -> bool:
        """A router in front has already found that the message is for this agent, so a weaker sign
        is enough than where anybody may say anything.
        """
        return bool(self._ctx.turn.channel) and choice.doubt < DOUBTED and form != "social"

    # --- following --------------------------------------------------------------------------------

    def _held(self, case: UseCase) -> list[Held]:
        """What of the use case, or of the case that its flow has come to, holds now."""
        flow = self.journey.progress.flow
        at = self._direct.case(flow[-1], self._facts) if flow else None
        at = at or case
        section = solution_of(at, self._facts) if flow is None else "solution"
        return list(parts_that_hold(at.section(section), self._facts))

    async def _follow(self, case: UseCase) -> AsyncGenerator[TurnEvent, None]:
        """One turn of the use case: its step, its solution, or what an option says."""
        self._reply.use_case = case.id
        progress = self.journey.progress
        facts = Facts(
            self._facts.names,
            self._ctx.text,
            used=progress.used,
            step=progress.step + 1 if progress.step else None,
            role=self._facts.role,
        )
        steps = steps_of(case, facts)
        stepping = progress.step < len(steps) and progress.flow is None
        if self._command is not None:
            held: list[Held] = [line_of(self._command)]
        else:
            held = steps[progress.step] if stepping else self._held(case)
        self._ctx.solution = [part for part in held if isinstance(part, Line)]
        results: dict[str, Any] = {}
        async for event in self._called(held, results):
            yield event
        if self._reply.text:
            return
        self._reply.text = _said(held, results, self._ctx, case.id)
        self._told(held, stepping)

    def _told(self, held: Sequence[Held], stepping: bool) -> None:
        """Moves on from what was said."""
        offered = [p.option for p in held if isinstance(p, Option) and p.option and not p.otherwise]
        if stepping:
            self._reply.question = True
            self.journey.go(Stepped())
            return
        self.journey.go(Solved())
        if offered:
            lines = "\n".join(f"- {option}" for option in offered)
            self._reply.text = f"{self._reply.text}\n{lines}".strip()
            self._reply.question = True
            self.journey.go(Offered())
        elif self.journey.progress.flow is not None:
            self.journey.go(Ended())

    async def _called(
        self, held: Sequence[Held], results: dict[str, Any]
    ) -> AsyncGenerator[TurnEvent, None]:
        """Calls the tools that are named, in order, until one cannot be called."""
        for name in dict.fromkeys(t for part in held if isinstance(part, Line) for t in part.tools):
            call = self._direct.call(name, self.journey.progress.known)
            if isinstance(call, Parameter):
                self.journey.go(Asked(what=f"{name}.{call.name}"))
                self._reply.text, self._reply.question = _question(call), True
                return
            if call.tool is not None and call.tool.sensitive and name != self._approved:
                self.journey.go(Asked(what=_APPROVE + name))
                self._reply.text, self._reply.question = approval.question([call]), True
                self._reply.context |= approval.context_of([call])
                return
            async for event in run_tools(self._ctx, [call]):
                yield event
            if call.error:
                self._reply.text = f"I am sorry, that did not work: {call.error}"
                self._reply.context["toolError"] = call.name
                self.journey.go(Ended())  # its arguments may be what was wrong
                return
            results[name] = plain_data(call.result)


def _said(held: Sequence[Held], results: Mapping[str, Any], ctx: Context, case: str) -> str:
    """The quoted lines filled, with what code fences give; without any the results, or the text
    itself.
    """
    known = {**values_of(ctx), **results}
    pieces = [piece for part in held if (piece := _piece(part, known, case))]
    if pieces:
        return "\n".join(pieces)
    if results:
        return "\n".join(mustache.plain(result) for result in results.values())
    texts = (part.plain.strip() for part in held if isinstance(part, Line))
    return "\n".join(filter(None, texts))


def _piece(part: Held, known: Mapping[str, Any], case: str) -> str:
    """What the part says as it is: a quoted line filled, or what a code fence gives."""
    if isinstance(part, Fence):
        return run_fence(part, known, RUNNERS, f"use case {case}").strip()
    reply = part.reply if isinstance(part, Line) else None
    return mustache.render(reply, known).strip() if reply is not None else ""


def _question(parameter: Parameter) -> str:
    text = parameter.description.rstrip(".")
    if text.endswith("?"):
        return text
    return f"Please tell me {text[0].lower() + text[1:] if text else parameter.name}."


def _kept(value: Any) -> Any:
    """A value as JSON keeps it; validation makes it what it was."""
    return (
        value if isinstance(value, (str, int, float, bool)) else str(getattr(value, "value", value))
    )
