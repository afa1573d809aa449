"""Watching one turn: a span and an event for each part of it.

The agent tells its watch what it is doing. Without a tracer and without a follower of the events
that is `UNWATCHED`, which does nothing.
"""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lmos.arc.observing.events import (
    CANCELLED,
    FAILURE,
    RESOLVED,
    AgentFinishedEvent,
    AgentHandOverTriggered,
    AgentStartedEvent,
    Bus,
    DataAddedEvent,
    Event,
    FilterExecutedEvent,
    FlowOptionEvent,
    LLMFinishedEvent,
    LLMFunctionCalledEvent,
    LLMFunctionStartedEvent,
    LLMStartedEvent,
    MemoryRetrieveEvent,
    MemoryStoreEvent,
    RateLimitedEvent,
    RateLimitTimeoutEvent,
    RouterRoutedEvent,
    UseCaseEvent,
    bus,
)
from lmos.arc.observing.unwatched import NOTHING, UNWATCHED, Seen, Unwatched
from lmos.arc.signals import Break, Signal
from lmos.model import Turn, errors
from lmos.telemetry import tracing
from lmos.telemetry.conventions import SILENT, Kind, gen_ai_messages

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

    from lmos.arc.adl import Option
    from lmos.arc.context import Context
    from lmos.arc.memory import Remembering
    from lmos.arc.running import Wanted

_GONE = "Cancelled"
#: Seconds of waiting for a place that count as having been limited.
_NOTICED = 0.001


def watch_of(ctx: "Context", events: Bus = bus) -> Unwatched:
    """The watch of the turn."""
    tracer = tracing.tracer("lmos.arc")
    if tracer is None and not events.active:
        return UNWATCHED
    return Watch(ctx, tracer, events)


@dataclass(slots=True)
class _Sentences:
    """What a filter has done to the sentences so far; moments are nanoseconds of the epoch."""

    first: int
    last: int = 0
    seconds: float = 0.0
    before: str = ""
    after: str = ""
    broken: bool = False


class Watch(Unwatched):
    """The watch of a turn that somebody follows, by spans, by events or by both."""

    on = True

    def __init__(self, ctx: "Context", tracer: "Tracer | None", events: Bus) -> None:
        self._ctx = ctx
        self._tracer = tracer
        self._events = events
        self._speaks = tracing.settings() if tracer else SILENT
        self._text = ""
        self._status = ""
        self._broken = False
        self._sentences: dict[int, tuple[str, _Sentences]] = {}
        self._models: list[str] = []
        self._tokens = [0, 0]

    # --- the turn ---------------------------------------------------------------------------------

    @contextmanager
    def agent(self, agent: Any) -> Iterator[Seen]:
        """All of the turn."""
        ctx, speaks, began = self._ctx, self._speaks, time.perf_counter()
        asked = ctx.text
        facts = {
            **speaks.told(
                agent=agent.name,
                version=agent.version,
                description=agent.description,
                conversation=ctx.turn.conversation_id,
                tenant=ctx.tenant,
                channel=ctx.channel,
                output_type="json" if agent.output is not None else "text",
            ),
            **speaks.said(user=ctx.user.id, input=asked),
        }
        self._publish(AgentStartedEvent, agent=agent.name)
        deadline = agent.engine.deadline(ctx.turn)
        parent = tracing.parent_of(ctx.turn) if self._tracer else None
        error = ""
        with self._span(f"agent {agent.name}", "agent", facts, parent) as span:
            try:
                yield NOTHING
            except BaseException as raised:
                error = _class_of(raised)
                if error == _GONE and deadline and datetime.now(UTC) >= deadline:
                    error = errors.DeadlineExceeded.__name__
                    if span is not None:
                        _failed(span, error, None)
                self._status = CANCELLED if error == _GONE else FAILURE
                raise
            finally:
                self._end(agent, span, asked, began, error)

    def _end(self, agent: Any, span: "Span | None", asked: str, began: float, error: str) -> None:
        ctx, speaks = self._ctx, self._speaks
        if span is not None:
            told = speaks.told(
                status=self._status,
                use_case=ctx.use_case,
                model=", ".join(self._models),
                input_tokens=self._tokens[0],
                output_tokens=self._tokens[1],
            )
            span.set_attributes({**told, **speaks.said(output=self._text)})
        if ctx.use_case:
            content = "\n".join(line.text for line in ctx.solution)
            self._publish(UseCaseEvent, name=ctx.use_case, content=content)
        self._publish(
            AgentFinishedEvent,
            agent=agent.name,
            model=", ".join(self._models) or "direct",
            input=asked,
            output=self._text,
            duration=time.perf_counter() - began,
            flow_break=self._broken,
            tools=tuple(agent.tools),
            status=self._status,
            error=error,
        )

    def continued(self, turn: Turn) -> Turn:
        """The turn with trace headers that continue the span around the call."""
        return turn.but(trace=tracing.carried(turn.trace)) if self._tracer else turn

    def answered(self, text: str, status: str = RESOLVED, *, broken: bool = False) -> None:
        """The turn ends with this text; `broken` off by a signal."""
        self._text, self._status, self._broken = text, status, broken

    def handed_over(self, to: str) -> None:
        """The turn goes to another agent."""
        self._status, self._broken = f"AGENT_HANDOVER[{to}]", True
        self._publish(AgentHandOverTriggered, from_agent=self._ctx.agent, to_agent=to)

    @contextmanager
    def routing(self) -> Iterator[Seen]:
        """Finding the use case; it is told the decision."""
        seen, began = Seen(), time.perf_counter()
        yield seen
        decision = seen.result
        self._publish(
            RouterRoutedEvent,
            destination=decision.agent or "",
            accuracy=decision.confidence,
            request=self._ctx.text,
            duration=time.perf_counter() - began,
        )

    def took(self, case: str, option: "Option | None", offered: "Sequence[Option]") -> None:
        """The user's message takes one of the options of a use case's flow, or none."""
        self._publish(
            FlowOptionEvent,
            use_case_id=case,
            matched_option=option.option if option else "",
            flow_options=tuple(one.option for one in offered),
            reference_use_case=(option.reference or "") if option else "",
        )

    def shown(self, name: str, text: str) -> None:
        """A model is shown a text."""
        self._publish(DataAddedEvent, name=name, data=text)

    def remembered(self, what: "Remembering") -> None:
        """Something was put into memory, or read from it."""
        if self._events.active:
            event = MemoryRetrieveEvent if what.action == "read" else MemoryStoreEvent
            self._publish(event, key=what.name, value=str(what.shown), scope=what.scope)

    @contextmanager
    def stage(self, name: str) -> Iterator[Seen]:
        """A part of the turn."""
        with self._span(name, "chain"):
            yield NOTHING

    @contextmanager
    def limit(self, name: str) -> Iterator[Seen]:
        """Waiting for a place."""
        began = time.perf_counter()
        event: type[Event] = RateLimitedEvent
        with self._span(f"limit {name}", "chain"):
            try:
                yield NOTHING
            except errors.Overloaded:
                event = RateLimitTimeoutEvent
                raise
            finally:
                waited = time.perf_counter() - began
                if event is RateLimitTimeoutEvent or waited > _NOTICED:
                    self._publish(event, name=name, duration=waited)

    # --- filters ----------------------------------------------------------------------------------

    @contextmanager
    def filter(self, function: Any, text: str) -> Iterator[Seen]:
        """A filter at work; it is told the new text."""
        name, began, seen, broken = _name_of(function), time.perf_counter(), Seen(), True
        with self._span(f"filter {name}", "chain", self._speaks.said(input=text)) as span:
            try:
                yield seen
                broken = False
            finally:
                after = text if seen.result is None else seen.result
                changed = broken or after != text
                if span is not None:
                    told = self._speaks.told(triggered=changed)
                    span.set_attributes({**told, **self._speaks.said(output=after)})
                seconds = time.perf_counter() - began
                self._executed(name, seconds, text, "" if broken else after, changed)

    @contextmanager
    def sentence(self, function: Any, text: str) -> Iterator[Seen]:
        """A filter at work on one sentence."""
        now, began, seen = time.time_ns(), time.perf_counter(), Seen()
        _, sum_ = self._sentences.setdefault(
            id(function), (_name_of(function), _Sentences(first=now))
        )
        sum_.broken = True
        try:
            yield seen
            sum_.broken = False
        finally:
            sum_.last = time.time_ns()
            sum_.seconds += time.perf_counter() - began
            sum_.before += text
            sum_.after += text if seen.result is None else seen.result
            if sum_.broken:
                self.filtered()

    def filtered(self) -> None:
        """No more sentences come: each filter has its span and event."""
        done, self._sentences = list(self._sentences.values()), {}
        for name, sum_ in done:
            changed = sum_.broken or sum_.before != sum_.after
            if self._tracer is not None:
                facts = {
                    **self._speaks.kind("chain"),
                    **self._speaks.told(triggered=changed),
                    **self._speaks.said(input=sum_.before, output=sum_.after),
                }
                span = self._tracer.start_span(
                    f"filter {name}", attributes=facts, start_time=sum_.first
                )
                span.end(sum_.last)
            self._executed(name, sum_.seconds, sum_.before, sum_.after, changed)

    def _executed(self, name: str, seconds: float, before: str, after: str, changed: bool) -> None:
        self._publish(
            FilterExecutedEvent,
            name=name,
            duration=seconds,
            input=before,
            output=after,
            triggered=changed,
        )

    # --- models and tools -------------------------------------------------------------------------

    @contextmanager
    def llm(self, models: Any, history: Sequence[Any], parameters: Any) -> Iterator[Seen]:
        """A request to a model; it is told the response."""
        model, speaks, seen = models.choices[0].model, self._speaks, Seen()
        facts = {
            **speaks.told(model=model.model_name, provider=model.system),
            **speaks.request(models.settings),
            **(speaks.messages("input", gen_ai_messages(history)) if speaks.content else {}),
        }
        began, failed = time.perf_counter(), ""
        self._publish(LLMStartedEvent, model=model.model_name)
        with self._span("llm", "llm", facts) as span:
            try:
                yield seen
            except BaseException as raised:
                failed = _class_of(raised)
                raise
            finally:
                response = seen.result
                if response is not None and span is not None:
                    span.set_attributes(self._response(response))
                seconds = time.perf_counter() - began
                asked = (model.model_name, models.settings, history, parameters)
                self._model_answered(asked, response, seconds, failed)

    def _response(self, response: Any) -> dict[str, Any]:
        usage, speaks = response.usage, self._speaks
        told = speaks.told(
            response_model=response.model_name,
            response_id=response.provider_response_id,
            finish_reasons=_finish(response),
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            total_tokens=usage.input_tokens + usage.output_tokens,
        )
        said = speaks.messages("output", gen_ai_messages([response])) if speaks.content else {}
        return {**told, **said}

    def _model_answered(
        self,
        asked: tuple[str, Mapping[str, Any], Any, Any],
        response: Any,
        seconds: float,
        failed: str,
    ) -> None:
        name, settings, history, parameters = asked
        used = (response.model_name if response is not None else None) or name
        if used not in self._models:
            self._models.append(used)
        if response is not None:
            self._tokens[0] += response.usage.input_tokens
            self._tokens[1] += response.usage.output_tokens
        if not self._events.active:
            return
        facts: dict[str, Any] = {}
        if response is not None:
            usage, calls = response.usage, response.tool_calls
            facts = {
                "result": response.text or "",
                "total_tokens": usage.input_tokens + usage.output_tokens,
                "prompt_tokens": usage.input_tokens,
                "completion_tokens": usage.output_tokens,
                "function_call_count": len(calls),
                "called_functions": tuple(call.tool_name for call in calls),
                "finish_reasons": _finish(response),
            }
        self._publish(
            LLMFinishedEvent,
            model=used,
            messages=tuple(history),
            functions=tuple(tool.name for tool in parameters.function_tools),
            duration=seconds,
            settings={k: v for k, v in settings.items() if isinstance(v, str | int | float)},
            error=failed,
            **facts,
        )

    @contextmanager
    def tool(self, call: "Wanted") -> Iterator[Seen]:
        """A tool at work; what came of it is in the call."""
        speaks, began = self._speaks, time.perf_counter()
        description = call.tool.description if call.tool else ""
        facts = {
            **speaks.told(tool=call.name, call=call.id, tool_description=description),
            **({"gen_ai.tool.type": "function"} if speaks.spec == "gen_ai" else {}),
            **speaks.said(arguments=json.dumps(call.arguments, default=str)),
        }
        self._publish(LLMFunctionStartedEvent, name=call.name, param=call.arguments)
        with self._span(f"tool {call.name}", "tool", facts) as span:
            try:
                yield NOTHING
            finally:
                if span is not None:
                    span.set_attributes(speaks.said(result=call.text))
                    if call.error is not None:
                        _failed(span, "ToolFailed", call.error if speaks.content else None)
                self._publish(
                    LLMFunctionCalledEvent,
                    name=call.name,
                    param=call.arguments,
                    result=call.said,
                    error=call.error or "",
                    failed=call.error is not None,
                    duration=time.perf_counter() - began,
                    description=description,
                )

    # --- inside -----------------------------------------------------------------------------------

    @contextmanager
    def _span(
        self,
        name: str,
        kind: Kind,
        facts: Mapping[str, Any] | None = None,
        parent: Any = None,
    ) -> "Iterator[Span | None]":
        """A span around what happens inside. A signal is no failure."""
        if self._tracer is None:
            yield None
            return
        from opentelemetry.trace import SpanKind

        with self._tracer.start_as_current_span(
            name,
            context=parent,
            kind=SpanKind.CLIENT if kind == "llm" else SpanKind.INTERNAL,
            attributes={**self._speaks.kind(kind), **(facts or {})},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except Signal:
                raise
            except Exception as error:
                _failed(span, _class_of(error), str(error) if self._speaks.content else None)
                raise

    @cached_property
    def _where(self) -> dict[str, str]:
        """What events tell of where they happen."""
        turn = self._ctx.turn
        told = {
            "agent": self._ctx.agent,
            "conversationId": turn.conversation_id,
            "turnId": turn.turn_id,
            "tenant": turn.tenant,
            "channel": turn.channel,
        }
        return {name: value for name, value in told.items() if value}

    def _publish(self, event: type[Event], **facts: Any) -> None:
        if self._events.active:
            self._events.publish(event(context=self._where, **facts))


def _failed(span: "Span", error: str, message: str | None) -> None:
    from opentelemetry.trace import StatusCode

    span.set_attribute("error.type", error)
    span.set_status(StatusCode.ERROR, message)


def _class_of(error: BaseException) -> str:
    if isinstance(error, Break):
        return ""
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return _GONE
    return type(error).__name__


def _name_of(function: Any) -> str:
    """What a filter is called: its function's name, else its class's."""
    return str(getattr(function, "__name__", type(function).__name__))


def _finish(response: Any) -> tuple[str, ...]:
    return (str(response.finish_reason),) if response.finish_reason else ()
