"""Spans around parts of a turn that are streams.

A stream runs in whatever context its reader has, so no span can be the current one while it goes
on. The trace travels in the turn instead: a step has the turn whose trace continues its span, and
whatever is given that turn, here or far away, makes its spans below.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

from lmos.model import ErrorInfo, Turn, errors
from lmos.telemetry import tracing

if TYPE_CHECKING:
    from opentelemetry.trace import Span

Way = Literal["server", "client", "internal"]


class Step:
    """A part of a turn; `turn` has the trace that goes on inside of it. Nothing is told where no
    spans are made.
    """

    __slots__ = ("_span", "turn")

    def __init__(self, turn: Turn, span: "Span | None" = None) -> None:
        self.turn = turn
        self._span = span

    def told(self, **facts: Any) -> None:
        """Tells more of it: attributes by their neutral words."""
        if self._span is not None:
            self._span.set_attributes(tracing.settings().told(**facts))

    def happened(self, name: str, **facts: Any) -> None:
        """Tells that something happened now."""
        if self._span is not None:
            self._span.add_event(name, tracing.settings().told(**facts))

    def failed(self, error: ErrorInfo | BaseException) -> None:
        """Tells that it failed; what the error says only where content may be told."""
        if self._span is None:
            return
        from opentelemetry.trace import StatusCode

        named = error.code if isinstance(error, ErrorInfo) else type(error).__name__
        message = error.message if isinstance(error, ErrorInfo) else str(error)
        self._span.set_attribute("error.type", named)
        self._span.set_status(StatusCode.ERROR, message if tracing.settings().content else None)

    def current(self) -> AbstractContextManager[Any]:
        """Its span as the current one, for what is awaited and no stream."""
        if self._span is None:
            return nullcontext()
        from opentelemetry.trace import use_span

        return use_span(self._span, record_exception=False, set_status_on_exception=False)


@contextmanager
def step(
    turn: Turn,
    name: str,
    *,
    scope: str,
    way: Way = "internal",
    entering: bool = False,
    **facts: Any,
) -> Iterator[Step]:
    """A span around a part of the turn, below the one that the turn's trace names; `entering` is
    the first part in this process, which goes below a span around it of the same trace. An error
    that passes through is told; leaving is none.
    """
    made = tracing.tracer(scope)
    if made is None:
        yield Step(turn)
        return
    from opentelemetry.trace import SpanKind, set_span_in_context

    parent = tracing.parent_of(turn) if entering else tracing.named_by(turn.trace)
    attributes = tracing.settings().told(**facts)
    kind = SpanKind[way.upper()]
    span = made.start_span(name, context=parent, kind=kind, attributes=attributes)
    inside = tracing.carried(turn.trace, set_span_in_context(span))
    found = Step(turn.but(trace=inside), span)
    try:
        yield found
    except (errors.LmosError, OSError, ValueError, RuntimeError) as error:
        found.failed(error)
        raise
    finally:
        span.end()
