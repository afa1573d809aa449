"""What happens inside agents, as events that others in the process can follow.

Names and keys of the payloads are those of the original ARC, so that its inspector reads them.
Events hold what was said; their payloads leave it empty unless content is asked for.
"""

import asyncio
import dataclasses
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic.alias_generators import to_camel

from lmos.telemetry.conventions import gen_ai_messages

log = logging.getLogger("lmos.arc")

#: Events that a subscriber may be behind by default, before it loses the oldest.
BEHIND = 1000
_SENSITIVE = "sensitive"
#: How a turn stands at its end, beside the classifications of answers.
FAILURE, ONGOING, RESOLVED, CANCELLED = "FAILURE", "ONGOING", "RESOLVED", "CANCELLED"


def _said(default: Any = "") -> Any:
    """A field with what people or models said."""
    return field(default=default, metadata={_SENSITIVE: True})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The root. `context` names the agent, the conversation (`conversationId`), the turn
    (`turnId`), the tenant and the channel, as far as known.
    """

    context: Mapping[str, str] = field(default_factory=dict)
    timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def type(self) -> str:
        """The name of the event."""
        return type(self).__name__

    def payload(self, *, content: bool = False) -> dict[str, Any]:
        """The event as JSON data with the original's keys. Durations are seconds. What was said is
        empty, unless `content` is wanted.
        """
        return {
            to_camel(f.name): _plain(self, f, content)
            for f in dataclasses.fields(self)
            if getattr(self, f.name) is not None
        }


def _plain(event: Event, f: "dataclasses.Field[Any]", content: bool) -> Any:
    value = getattr(event, f.name)
    if f.metadata.get(_SENSITIVE) and not content:
        return [] if isinstance(value, (list, tuple)) else {} if isinstance(value, dict) else ""
    if f.name == "messages":
        return gen_ai_messages(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStartedEvent(Event):
    """An agent begins a turn."""

    agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFinishedEvent(Event):
    """An agent has ended a turn. `flow_break`: a filter or tool ended it early; `error` names the
    class of what failed; `tools` are those that it has.
    """

    agent: str
    model: str = ""
    input: str = _said()
    output: str = _said()
    duration: float = 0.0
    flow_break: bool = False
    tools: Sequence[str] = ()
    status: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMStartedEvent(Event):
    """A language model is asked."""

    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMFinishedEvent(Event):
    """A language model has answered, or failed with an `error` of that class. `messages` are those
    that it was sent, as pydantic-ai has them; the payload has them as OpenTelemetry does.
    `functions` are the tools it was offered, `called_functions` those that it wants called.
    """

    model: str
    result: str = _said()
    messages: Sequence[Any] = _said(())
    functions: Sequence[str] = ()
    called_functions: Sequence[str] = ()
    total_tokens: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    function_call_count: int = 0
    duration: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    finish_reasons: Sequence[str] = ()
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMFunctionStartedEvent(Event):
    """A tool is about to run."""

    name: str
    param: Mapping[str, Any] = field(default_factory=dict, metadata={_SENSITIVE: True})


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMFunctionCalledEvent(Event):
    """A tool has run; `error` where it failed."""

    name: str
    param: Mapping[str, Any] = field(default_factory=dict, metadata={_SENSITIVE: True})
    result: str = _said()
    error: str = _said()
    failed: bool = False
    duration: float = 0.0
    version: str | None = None
    description: str = ""
    output_description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterExecutedEvent(Event):
    """A filter has run. `triggered`: it changed the text or ended the turn."""

    name: str
    duration: float = 0.0
    input: str = _said()
    output: str = _said()
    triggered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DataAddedEvent(Event):
    """A model is shown a text besides the conversation."""

    name: str
    data: str = _said()


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStoreEvent(Event):
    """Something was put into memory."""

    key: str
    value: str = _said()
    scope: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRetrieveEvent(Event):
    """Something was read from memory."""

    key: str
    value: str = _said()
    scope: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitedEvent(Event):
    """A turn had to wait for its place."""

    name: str
    duration: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitTimeoutEvent(Event):
    """A turn found no place."""

    name: str
    duration: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterReadyEvent(Event):
    """A router can be asked."""

    duration: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterRoutedEvent(Event):
    """A router has decided; `accuracy` is from 0 to 1."""

    destination: str
    accuracy: float = 0.0
    request: str = _said()
    duration: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentHandOverTriggered(Event):
    """An agent hands a turn over."""

    from_agent: str
    to_agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCaseEvent(Event):
    """An answer follows a use case."""

    name: str
    step: str = ""
    version: str = ""
    description: str = ""
    content: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowOptionEvent(Event):
    """An option of a use case's flow was taken."""

    use_case_id: str
    matched_option: str = ""
    flow_options: Sequence[str] = ()
    reference_use_case: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLoadedEvent(Event):
    """An agent was loaded, or was not."""

    name: str
    error_message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionLoadedEvent(Event):
    """A tool was loaded, or was not."""

    name: str
    error_message: str | None = None


class Bus:
    """Takes events to whoever follows them. Without a follower none is made."""

    def __init__(self) -> None:
        self._listeners: tuple[Callable[[Event], None], ...] = ()

    @property
    def active(self) -> bool:
        """Whether anybody follows."""
        return bool(self._listeners)

    def publish(self, event: Event) -> None:
        """Tells every follower. One that fails is logged and keeps nobody from hearing it."""
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                log.exception("a follower of events failed at %s", event.type)

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Calls the function with every event from now on, where it happens: it must be quick."""
        if listener not in self._listeners:
            self._listeners = (*self._listeners, listener)

    def stop(self, listener: Callable[[Event], None]) -> None:
        """Calls the function no more."""
        self._listeners = tuple(one for one in self._listeners if one != listener)

    @contextmanager
    def subscribe(self, behind: int = BEHIND) -> "Iterator[Subscription]":
        """Events from now on, to be awaited one after the other:

        with bus.subscribe() as events:
            async for event in events: ...

        A subscriber that is more than `behind` events behind loses the oldest.
        """
        subscription = Subscription(behind)
        self.listen(subscription)
        try:
            yield subscription
        finally:
            self.stop(subscription)


class Subscription(AsyncIterator[Event]):
    """The events that a subscriber has not seen yet; `lost` are those that it never will."""

    def __init__(self, behind: int) -> None:
        self.lost = 0
        self._waiting: deque[Event] = deque(maxlen=behind)
        self._loop = asyncio.get_running_loop()
        self._there = asyncio.Event()

    def __call__(self, event: Event) -> None:
        """Keeps the event; threads may tell as well."""
        self.lost += len(self._waiting) == self._waiting.maxlen
        self._waiting.append(event)
        self._loop.call_soon_threadsafe(self._there.set)

    async def __anext__(self) -> Event:
        """The next event, awaited."""
        while not self._waiting:
            self._there.clear()
            await self._there.wait()
        return self._waiting.popleft()


#: The process's bus.
bus = Bus()


@contextmanager
def agent_loaded(name: str) -> Iterator[None]:
    """Tells that an agent was loaded, or what kept it from being."""
    try:
        yield
    except Exception as error:
        if bus.active:
            told = str(error) or type(error).__name__
            bus.publish(AgentLoadedEvent(name=name, error_message=told))
        raise
    if bus.active:
        bus.publish(AgentLoadedEvent(name=name))
