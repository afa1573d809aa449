"""An agent's tasks, whichever binding they are asked for in."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from lmos.model import Responder, Turn, TurnEvent
from lmos.model.errors import InvalidInput, LmosError
from lmos.protocols import auth, limits
from lmos.protocols.a2a import codec, faults, listing
from lmos.protocols.a2a.tasks import Task, Tasks
from lmos.protocols.answering import answered

VERSION = "1.0"
#: Where a message says that its sender knows our extension, among a request's headers.
EXTENSIONS = "a2a-extensions"

_PUSH = "TaskPushNotificationConfig"
_NOT_OFFERED = {"SubscribeToTask", "GetExtendedAgentCard"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request says beside its message. `headers` have small letters, `place` is what the
    path names: `tenant` and `channel`.
    """

    headers: Mapping[str, str] = field(default_factory=dict)
    place: Mapping[str, str] = field(default_factory=dict)

    @property
    def scope(self) -> str:
        """Within which tasks can be seen: the place, and the user of a verified token."""
        caller = auth.CALLER.get()
        whose = caller.scope if caller else ""
        return f"{self.place.get('tenant', '')}/{self.place.get('channel', '')}/{whose}"

    def check_version(self) -> None:
        """A client that names no version is taken to speak ours."""
        version = self.headers.get("a2a-version") or VERSION
        if version.split(".")[0] != VERSION.split(".")[0]:
            raise faults.VersionNotSupported(f"A2A {version} is not spoken here; {VERSION} is")


class Service:
    """A responder's turns as tasks. Given to several servers, each sees the tasks of all."""

    def __init__(self, responder: Responder) -> None:
        self._responder = responder
        self._tasks = Tasks()

    def begin(self, params: Any, asked: Asked) -> tuple[Turn, Task]:
        """The turn that the message begins, and its task: a new one, or one that waited for it."""
        message = codec.read_params(params)
        turn = _placed(codec.turn_of(message), asked)
        extended = bool(message.extension) or codec.EXTENSION in asked.headers.get(EXTENSIONS, "")
        if message.task_id:
            task = self._tasks.resume(
                asked.scope, message.task_id, message.context_id, extended=extended
            )
            return turn.but(conversation_id=task.context_id), task
        return turn, self._tasks.begin(asked.scope, turn.conversation_id, extended=extended)

    async def updates(
        self, turn: Turn, task: Task
    ) -> AsyncGenerator[tuple[TurnEvent, dict[str, Any]], None]:
        """The events of the turn with what A2A says of each. Closing it cancels the task."""
        try:
            async with aclosing(answered(self._responder, turn, stop=task.stop)) as events:
                async for event in events:
                    yield event, task.take(event)
        finally:
            if task.state == codec.WORKING:  # the client left
                task.cancel()

    async def finished(self, turn: Turn, task: Task) -> dict[str, Any]:
        """The task, when its turn is over."""
        async with aclosing(self.updates(turn, task)) as updates:
            async for _ in updates:
                pass
        return task.snapshot()

    def task(self, params: Any, asked: Asked) -> dict[str, Any]:
        """A task as it is now."""
        return self._tasks.get(asked.scope, _id(params)).snapshot()

    def tasks(self, params: Any, asked: Asked) -> dict[str, Any]:
        """The caller's tasks, one page of them. Only who has credentials is told: else there is no
        telling whose tasks they are.
        """
        if auth.CALLER.get() is None:
            raise faults.Unsupported("ListTasks is offered only where callers have credentials")
        return listing.listed(self._tasks.of(asked.scope), params)

    def cancel(self, params: Any, asked: Asked) -> dict[str, Any]:
        """Ends a task."""
        return self._tasks.cancel(asked.scope, _id(params)).snapshot()


def not_offered(method: str) -> LmosError:
    """Why there is no such method."""
    if _PUSH in method:
        return faults.PushNotSupported("push notifications are not offered; use streaming")
    if method in _NOT_OFFERED:
        return faults.Unsupported(f"{method} is not offered by this agent")
    return faults.MethodNotFound(f"A2A {VERSION} has no method {method!r}")


def _id(params: Any) -> str:
    found = params.get("id") if isinstance(params, dict) else None
    if not isinstance(found, str) or not found:
        raise InvalidInput("params.id, the task's id, is missing")
    return found


def _placed(turn: Turn, asked: Asked) -> Turn:
    """The turn with what the path and the headers say, which win over what it says itself. Where
    the path names a tenant everybody can ask, so nobody is believed to have verified a claim.
    """
    if "tenant" in asked.place and turn.user.claims:
        turn = turn.but(user=turn.user.but(claims={}))
    given = {**asked.place, "subset": asked.headers.get("x-subset", "")}
    changes: dict[str, Any] = {
        name: limits.check_name(name, value) for name, value in given.items() if value
    }
    if trace := {n: asked.headers[n] for n in ("traceparent", "tracestate") if n in asked.headers}:
        changes["trace"] = trace
    if turn.deadline is None and (deadline := limits.deadline_in(asked.headers)):
        changes["deadline"] = deadline
    return turn.but(**changes) if changes else turn
