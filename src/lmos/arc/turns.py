"""How an agent answers one turn.

    message -> rate limit -> input filters -> model or direct mode -> output filters -> answer

Functions of the agent steer it with signals: they end it early, ask, hand over, or have it run
again. What fails goes to `on_fail`, which may answer in its place.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from lmos.arc.context import Context
from lmos.arc.direct import Reply
from lmos.arc.guide import Guide
from lmos.arc.loop import Loop, Spoken
from lmos.arc.observing.events import ONGOING, RESOLVED
from lmos.arc.observing.watch import watch_of
from lmos.arc.outgoing import Outgoing
from lmos.arc.output import Misfit, Output
from lmos.arc.prompt import system_prompt
from lmos.arc.running import called, valued
from lmos.arc.signals import Ask, Break, HandOver, Retry, Signal
from lmos.arc.tagged import TaggedGuide
from lmos.model import (
    Answer,
    Done,
    Handover,
    InputRequired,
    Message,
    TextDelta,
    TurnEvent,
    Usage,
    errors,
)
from lmos.state import Past

if TYPE_CHECKING:
    from lmos.arc.agent import Agent


class AgentTurn:
    """One turn of an agent. `events` follow its `Started`."""

    def __init__(self, agent: "Agent[Any, Any]", ctx: Context) -> None:
        self._agent = agent
        self._ctx = ctx
        self._history = agent.engine.history
        self._past = Past()
        self._out = Outgoing(ctx, ())
        self._spoken = Spoken()
        self._reply = Reply()
        self._said = ""
        self._guide: Guide | TaggedGuide | None = None

    async def events(self) -> AsyncGenerator[TurnEvent, None]:
        """The turn, run until it ends one way or another."""
        ctx = self._ctx
        ctx.watch = watch_of(ctx)
        with ctx.watch.agent(self._agent):
            self._past = await self._history.past(ctx.turn)
            ctx.turn = ctx.watch.continued(self._past.before(ctx.turn))
            asked = ctx.turn
            self._said = asked.text
            while True:
                signal: Signal
                try:
                    async with aclosing(self._answered()) as events:
                        async for event in events:
                            yield event
                    async for event in self._ended():
                        yield event
                    return
                except Signal as raised:
                    signal = raised
                except Exception as error:
                    signal = await self._failed(error)
                if not isinstance(signal, Retry):
                    async for event in self._steered(signal):
                        yield event
                    return
                self._again(signal)
                ctx.turn = asked

    # --- the way there ----------------------------------------------------------------------------

    async def _answered(self) -> AsyncGenerator[TurnEvent, None]:
        """The answer, filtered; nothing is remembered yet."""
        agent, ctx = self._agent, self._ctx
        if agent.input is not None:
            ctx.input = _read(agent.input, ctx.text)
        if agent.limit is not None and ctx.retry is None:
            await self._placed()
        with ctx.watch.stage("filter input"):
            await self._filter_input()
        self._out = Outgoing(ctx, agent.output_filters)
        with ctx.watch.stage("generate response"):
            async with aclosing(self._spoken_by_agent()) as events:
                async for event in events:
                    if not isinstance(event, TextDelta):
                        yield event
                        continue
                    for delta in await self._out.take(event.text):
                        yield delta
        with ctx.watch.stage("filter output"):
            rest = await self._out.end()
        for delta in rest:
            yield delta

    async def _placed(self) -> None:
        limit = self._agent.limit
        assert limit is not None
        try:
            with self._ctx.watch.limit(self._agent.name):
                await limit.acquire()
        except errors.Overloaded as error:
            if limit.fallback:
                raise Break(limit.fallback, reason=error.message) from None
            raise

    async def _filter_input(self) -> None:
        ctx = self._ctx
        for function in self._agent.input_filters:
            if hasattr(function, "messages"):  # one that reads the whole conversation
                with ctx.watch.filter(function, ctx.text) as seen:
                    changed = tuple(await function.messages(ctx, ctx.messages))
                    ctx.turn = ctx.turn.but(messages=changed)
                    seen.told(ctx.text)
                continue
            text = await called(function, ctx, ctx.text)
            if text != ctx.text:
                ctx.turn = ctx.turn.saying(text)

    async def _spoken_by_agent(self) -> AsyncGenerator[TurnEvent, None]:
        agent, ctx = self._agent, self._ctx
        models = await agent.engine.models(ctx)
        if models is None:
            reply = self._reply = Reply()
            self._spoken.usage = Usage(model="direct")
            direct = await agent.engine.direct_in(ctx)
            async with aclosing(direct.respond(ctx, reply)) as events:
                async for event in events:
                    yield event
            ctx.use_case = reply.use_case
            yield TextDelta(text=reply.text)
            return
        with ctx.watch.stage("generate system prompt"):
            guide = self._guide = await self._guided()
            prompt = await self._prompt()
        missing = (lambda: guide.missing) if guide else tuple
        loop = Loop(
            models, ctx, await agent.engine.toolbox(ctx, guide.tool if guide else None), missing
        )
        loop.spoken.usage = self._spoken.usage  # of earlier tries
        self._spoken = loop.spoken
        async with aclosing(loop.run(prompt)) as events:
            async for event in events:
                if guide and isinstance(event, TextDelta):
                    event = TextDelta(text=guide.heard(event.text))
                yield event
        if guide:
            yield TextDelta(text=guide.rest())
        if loop.spoken.value is not None:
            yield TextDelta(text=loop.spoken.text)

    async def _guided(self) -> Guide | TaggedGuide | None:
        if not self._agent.use_cases:
            return None
        guide = TaggedGuide if self._agent.arc_use_cases else Guide
        return await guide.of(self._agent, self._ctx)

    async def _prompt(self) -> str:
        agent, ctx = self._agent, self._ctx
        told = [str(await valued(i, ctx) or "") for i in agent.instructions_given]
        if ctx.retry:
            told.append(f"Your last answer was not good enough: {ctx.retry.reason}")
        cases = self._guide.prompt() if self._guide else ""
        return system_prompt(agent.description, told, cases, ctx)

    # --- the end ----------------------------------------------------------------------------------

    async def _ended(self) -> AsyncGenerator[TurnEvent, None]:
        """The whole message, remembered, and the end of the turn."""
        reply = self._reply
        message = self._message(self._out.text)
        context = {**self._ctx.output, **reply.context}
        if self._ctx.use_case:
            context["useCase"] = self._ctx.use_case
        await self._history.remember(self._ctx.turn, [message], past=self._past)
        if self._guide:
            await self._guide.keep()
        self._ctx.watch.answered(self._out.text, ONGOING if reply.question else RESOLVED)
        if reply.question:
            yield self._question(message, context)
            return
        yield self._answer(message, context)
        yield Done(usage=self._spoken.usage.plus(self._ctx.usage))

    async def _steered(self, signal: Signal) -> AsyncGenerator[TurnEvent, None]:
        """The end that a signal makes of the turn."""
        ctx = self._ctx
        if isinstance(signal, HandOver):
            ctx.watch.handed_over(signal.to or signal.capability)
            changed = ctx.text if ctx.text != self._said else ""
            yield Handover(
                to=signal.to,
                capability=signal.capability,
                reason=signal.reason,
                text=changed,
                anonymization_entities=tuple(ctx.entities),
            )
            return
        assert isinstance(signal, Break | Ask)
        text = f"\n\n{signal.text}" if self._out.text else signal.text
        yield TextDelta(text=text)
        message = self._message(self._out.text + text)
        await self._history.remember(ctx.turn, [message], past=self._past)
        asking = isinstance(signal, Ask)
        status = ONGOING if asking else getattr(signal, "classification", "") or RESOLVED
        ctx.watch.answered(message.content, status, broken=not asking)
        if self._guide and asking:
            await self._guide.keep(answered=False)
        if isinstance(signal, Ask):
            yield self._question(message, {**ctx.output, **signal.context})
            return
        found = {"classification": signal.classification} if signal.classification else {}
        yield self._answer(message, {**ctx.output, **found})
        yield Done(usage=self._spoken.usage.plus(self._ctx.usage))

    async def _failed(self, error: Exception) -> Signal:
        """What `on_fail` makes of the error. It is raised when nothing is made of it."""
        for function in self._agent.failure_handlers:
            try:
                text = await valued(lambda ctx, f=function: f(ctx, error), self._ctx)
            except Signal as signal:
                return signal
            if text is not None:
                return Break(str(text), reason=str(error))
        raise error

    def _again(self, signal: Retry) -> None:
        """Makes ready for another run, or raises when there have been enough."""
        before = self._ctx.retry
        signal.count = before.count + 1 if before else 1
        if before:
            signal.details = {**before.details, **signal.details}
        if self._out.text:
            raise errors.AgentFailed(
                f"{self._agent.name} cannot begin again, its answer is partly out: {signal.reason}"
            )
        if signal.count > signal.max:
            raise errors.AgentFailed(
                f"{self._agent.name} gave up after {signal.max} more tries: {signal.reason}"
            )
        self._ctx.retry = signal

    def _message(self, text: str) -> Message:
        typed = "json" if self._agent.output is not None else "text"
        turn_id = self._ctx.turn.turn_id
        return Message(role="assistant", content=text, turn_id=turn_id, format=typed)

    def _question(self, message: Message, context: dict[str, str]) -> InputRequired:
        entities = tuple(self._ctx.entities)
        return InputRequired(message=message, context=context, anonymization_entities=entities)

    def _answer(self, message: Message, context: dict[str, str]) -> Answer:
        entities = tuple(self._ctx.entities)
        return Answer(message=message, context=context, anonymization_entities=entities)


def _read(type_: Output, text: str) -> Any:
    try:
        return type_.said(text)
    except Misfit as misfit:
        raise errors.InvalidInput(f"the request is not of the agent's type: {misfit}") from None
