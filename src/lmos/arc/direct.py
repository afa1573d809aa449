"""Answering without a language model: find the use case, call its tools, say its replies.

    asked for an argument?  -> the message is the argument
    in the middle of steps? -> yes goes on, no ends it
    continues?              -> the same use case, with what the message changes
    otherwise               -> the use case whose texts lie nearest, or an honest refusal

A use case with Steps shows one step a turn, then its solution. What of it holds is decided by
conditions. Where a tool stands in the text it is called, its arguments read out of what the user
says; one that is missing is asked for. Then the quoted lines are said, filled with the results.
The state between turns is small and explicit, kept per conversation.
"""

import zlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from lmos.arc import words
from lmos.arc.adl import Facts, Line, UseCase, applies, lines_that_hold, mustache
from lmos.arc.context import Context
from lmos.arc.running import Wanted, run_tools
from lmos.arc.tools import Parameter, Tool, plain_data
from lmos.model import Capability, RoutableAgent, TurnEvent
from lmos.router import RoutingRequest, RoutingTable, VectorRouter
from lmos.router.followup import form_of

if TYPE_CHECKING:
    from lmos.model import Embedder


#: What replies may name besides tools and what the user said for their parameters.
GIVEN = ("user", "tenant", "channel")
#: In one turn of so many the condition `sometimes` holds.
SOMETIMES = 3


class Progress(BaseModel):
    """Where a conversation stands: the use case, how far it is, the arguments known so far by the
    names of their parameters, and the argument that was asked for (`tool.parameter`).
    """

    use_case: str = ""
    step: int = 0
    pending: bool = False
    known: dict[str, Any] = {}
    asked: str = ""


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
        self, name: str, use_cases: Sequence[UseCase], tools: dict[str, Tool], embedder: "Embedder"
    ) -> None:
        self._name = name
        self._cases = {case.id: case for case in use_cases}
        self._tools = tools
        self._embedder = embedder
        self._router = VectorRouter(embedder)
        self._table: RoutingTable | None = None

    async def load(self) -> None:
        """Embeds the use cases; the first turn does it otherwise."""
        agents = [
            RoutableAgent(
                name=case.id,
                capabilities=(
                    Capability(
                        id=case.id,
                        name=case.id,
                        version="1.0.0",
                        description=case.description,
                        examples=case.examples,
                    ),
                ),
            )
            for case in self._cases.values()
        ]
        self._table = await RoutingTable.build(agents, self._embedder)

    async def respond(self, ctx: Context, reply: Reply) -> AsyncGenerator[TurnEvent, None]:
        """Fills the reply; yields the events of tools and status on the way."""
        progress = Progress.model_validate(await ctx.memory.get("direct", {}))
        case, progress = await self._next(ctx, progress, reply)
        if case is not None:
            async for event in self._follow(ctx, case, progress, reply):
                yield event
        await ctx.memory.put("direct", progress.model_dump(mode="json"))

    # --- which use case ---------------------------------------------------------------------------

    async def _next(
        self, ctx: Context, progress: Progress, reply: Reply
    ) -> tuple[UseCase | None, Progress]:
        """The use case to follow now and where in it; None when the reply is complete already."""
        current = self._cases.get(progress.use_case)
        if current and progress.asked and self._take_answer(ctx, progress):
            return current, progress
        if current and progress.pending and not progress.asked:
            if words.NO.search(ctx.text):
                reply.text, reply.use_case = "All right, I have changed nothing.", current.id
                return None, Progress(use_case=current.id)
            if words.YES.search(ctx.text):
                return current, progress.model_copy(update={"step": progress.step + 1})
        found, continues = await self._choose(ctx, current)
        if found is None:
            self._refuse(ctx, reply)
            return None, Progress()
        known = self._arguments(ctx.text, found)
        if form_of(ctx.text) != "whole":  # "cancel it" means what was spoken of
            known = {**progress.known, **known}
        goes_on = found is current and continues and (progress.pending or progress.asked)
        return found, Progress(use_case=found.id, known=known, step=progress.step if goes_on else 0)

    async def _choose(self, ctx: Context, current: UseCase | None) -> tuple[UseCase | None, bool]:
        """The use case that the message is for, and whether it continues the current one."""
        if self._table is None:
            await self.load()
        assert self._table is not None
        there = [c.id for c in self._cases.values() if applies(c, facts_of(ctx))]
        active = current.id if current and current.id in there else None
        request = RoutingRequest(messages=ctx.messages, active_agent=active)
        decision = await self._router.decide(request, self._table)
        ranked = [c.agent for c in decision.candidates if c.agent in there]
        if decision.sticky and decision.agent == active:
            return current, form_of(ctx.text) != "whole"
        if not ranked or (decision.agent is None and not self._trusted(ctx, decision.confidence)):
            return None, False
        return self._cases[ranked[0]], False

    def _trusted(self, ctx: Context, doubt: float) -> bool:
        """A router in front has already found that the message is for this agent, so a weaker sign
        is enough than where anybody may say anything.
        """
        return bool(ctx.turn.channel) and doubt < 0.85 and form_of(ctx.text) != "social"

    def _refuse(self, ctx: Context, reply: Reply) -> None:
        offers = [
            case.examples[0] if case.examples else case.description
            for case in self._cases.values()
            if applies(case, facts_of(ctx))
        ]
        lines = "\n".join(f"- {offer}" for offer in offers[:6])
        reply.text = f"I cannot help with that. You can ask me, for example:\n{lines}"
        reply.context["unresolved"] = "true"

    # --- arguments --------------------------------------------------------------------------------

    def _take_answer(self, ctx: Context, progress: Progress) -> bool:
        """Whether the message gives the argument that was asked for; it is known then."""
        tool, _, name = progress.asked.partition(".")
        parameter = next((p for p in self._tools[tool].parameters if p.name == name), None)
        if parameter is None or (form_of(ctx.text) == "whole" and parameter.annotation is str):
            return False
        value = words.find(parameter.annotation, ctx.text, asked=True, pattern=parameter.pattern)
        if value is None:
            return False
        progress.known.update(self._arguments(ctx.text, self._cases[progress.use_case]))
        progress.known[name] = _kept(value)
        progress.asked = ""
        return True

    def _arguments(self, text: str, case: UseCase) -> dict[str, Any]:
        """Every argument of the use case's tools that the text gives."""
        found: dict[str, Any] = {}
        for name in case.tools:
            for parameter in self._tools[name].parameters if name in self._tools else ():
                value = words.find(parameter.annotation, text, pattern=parameter.pattern)
                if value is not None:
                    found[parameter.name] = _kept(value)
        return found

    # --- following --------------------------------------------------------------------------------

    async def _follow(
        self, ctx: Context, case: UseCase, progress: Progress, reply: Reply
    ) -> AsyncGenerator[TurnEvent, None]:
        """One turn of the use case: its step or its solution."""
        reply.use_case = case.id
        facts = facts_of(ctx, progress.step)
        steps = _items(list(lines_that_hold(case.section("steps"), facts)))
        stepping = progress.step < len(steps)
        lines = steps[progress.step] if stepping else list(
            lines_that_hold(case.section("solution"), facts)
        )  # fmt: skip
        results: dict[str, Any] = {}
        for name in dict.fromkeys(tool for line in lines for tool in line.tools):
            call = self._call(name, progress)
            if isinstance(call, Parameter):
                progress.asked = f"{name}.{call.name}"
                reply.text, reply.question = _question(call), True
                return
            async for event in run_tools(ctx, [call]):
                yield event
            if call.error:
                _apologise(call, reply)
                return
            results[name] = plain_data(call.result)
        progress.pending, progress.asked = stepping, ""
        if not stepping:
            progress.step = 0
        reply.question = stepping
        reply.text = _said(lines, results, ctx)

    def _call(self, name: str, progress: Progress) -> Wanted | Parameter:
        """The call of a tool with what is known, or the parameter that has to be asked for."""
        tool = self._tools[name]
        arguments = {}
        for parameter in tool.parameters:
            if parameter.name in progress.known:
                arguments[parameter.name] = progress.known[parameter.name]
            elif parameter.required:
                return parameter
        return Wanted(tool, name, arguments)


def facts_of(ctx: Context, uses: int = 0) -> Facts:
    """The names that hold in the turn: channel, tenant, what the application or the user's profile
    says is true, and `sometimes` in one turn of three.
    """
    names = {ctx.channel, ctx.tenant}
    for entries in (ctx.system, ctx.user.profile):
        names |= {key for key, value in entries.items() if value.lower() == "true"}
    if zlib.crc32(ctx.turn.turn_id.encode()) % SOMETIMES == 0:
        names.add("sometimes")
    role = ctx.system.get("role", "")
    return Facts(frozenset(filter(None, names)), ctx.text, uses, role=role)


def values_of(ctx: Context) -> dict[str, Any]:
    """What `{{name}}` and code of the document may use in the turn: the system context, and what is
    always given.
    """
    return {
        **ctx.system,
        "user": {"id": ctx.user.id, **ctx.user.profile},
        "tenant": ctx.tenant,
        "channel": ctx.channel,
    }


def _items(lines: list[Line]) -> list[list[Line]]:
    """Steps one by one: each `-` or number opens a step, other lines belong to the one before."""
    items: list[list[Line]] = []
    for line in lines:
        opens = line.text.lstrip()[:2] in ("- ", "* ") or line.text.lstrip()[:1].isdigit()
        if opens or not items:
            items.append([line])
        elif line.text.strip():
            items[-1].append(line)
    return items


def _said(lines: list[Line], results: dict[str, Any], ctx: Context) -> str:
    """The quoted lines filled; without any the results, or the text itself."""
    known = {
        **results,
        "user": {"id": ctx.user.id, **ctx.user.profile},
        "tenant": ctx.tenant,
        "channel": ctx.channel,
    }
    replies = [reply for line in lines if (reply := line.reply) is not None]
    if replies:
        return "\n".join(filter(None, (mustache.render(r, known).strip() for r in replies)))
    if results:
        return "\n".join(mustache.plain(result) for result in results.values())
    return "\n".join(line.plain.strip() for line in lines if line.text.strip())


def _question(parameter: Parameter) -> str:
    text = parameter.description.rstrip(".")
    if text.endswith("?"):
        return text
    return f"Please tell me {text[0].lower() + text[1:] if text else parameter.name}."


def _apologise(call: Wanted, reply: Reply) -> None:
    reply.text = f"I am sorry, that did not work: {call.error}"
    reply.context["toolError"] = call.name


def _kept(value: Any) -> Any:
    """A value as JSON keeps it; validation makes it what it was."""
    return (
        value if isinstance(value, (str, int, float, bool)) else str(getattr(value, "value", value))
    )
