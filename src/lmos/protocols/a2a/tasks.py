"""Tasks: a turn as A2A tells of it, while it runs and for a while afterwards."""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from lmos.model import (
    Answer,
    Done,
    Failed,
    Handover,
    InputRequired,
    Message,
    Started,
    StatusUpdate,
    TextDelta,
    TurnEvent,
)
from lmos.model.errors import InvalidInput
from lmos.protocols.a2a import codec, faults
from lmos.protocols.answering import Stop

#: Tasks kept; the oldest are forgotten first.
KEPT = 1000
#: Events kept of a task from which on no more of what is going on is kept.
EVENTS = 100


class Task:
    """One task. `take` turns the events of its turn into A2A's and keeps what they add up to.

    `extended`: whether every event itself rides in the metadata of what `take` gives.
    """

    def __init__(self, context_id: str, *, extended: bool = False) -> None:
        self.id = str(uuid4())
        self.context_id = context_id
        self.extended = extended
        self.state = codec.WORKING
        #: Since when its status is what it is.
        self.since = datetime.now(UTC)
        self.stop = Stop()
        self._message: dict[str, Any] | None = None
        self._artifacts: list[dict[str, Any]] = []
        self._in_deltas = False
        self._events: list[dict[str, Any]] = []
        self._messages = 0

    def resume(self, *, extended: bool) -> None:
        """Goes on with another turn, after a question."""
        self.extended = extended
        self.state, self._message, self.stop = codec.WORKING, None, Stop()
        self.since = datetime.now(UTC)
        self._events = []

    def cancel(self) -> None:
        """Ends the task; its turn, if one is running, is stopped."""
        self.state, self.since = codec.CANCELED, datetime.now(UTC)
        self.stop.request()

    # --- what is told --------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """The task as it is now."""
        task: dict[str, Any] = {
            "id": self.id,
            "contextId": self.context_id,
            "status": self._status(),
        }
        if self._artifacts:
            task["artifacts"] = self._artifacts
        if self.extended and self._events:
            task["metadata"] = {codec.EXTENSION: {"events": self._events}}
        return task

    def take(self, event: TurnEvent) -> dict[str, Any]:
        """The event as a StreamResponse."""
        wire = event.wire() if self.extended else {}
        if self.extended and not self._passing(event):
            self._events.append(wire)
        match event:
            case Started():
                return {"task": self.snapshot()}
            case TextDelta():
                return {"artifactUpdate": self._extend(self._delta(event.text), wire)}
            case Answer():
                return {"artifactUpdate": self._extend(self._whole(event.message), wire)}
            case _:
                self._enter(event)
                return {"statusUpdate": self._extend({"status": self._status()}, wire)}

    def _passing(self, event: TurnEvent) -> bool:
        """Whether the event is told and not kept."""
        many = len(self._events) >= EVENTS and isinstance(event, StatusUpdate)
        return many or isinstance(event, TextDelta)

    def _extend(self, update: dict[str, Any], wire: dict[str, Any]) -> dict[str, Any]:
        update["taskId"], update["contextId"] = self.id, self.context_id
        if self.extended:
            update["metadata"] = {codec.EXTENSION: {"event": wire}}
        return update

    # --- status --------------------------------------------------------------------------------

    def _status(self) -> dict[str, Any]:
        since = self.since.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        status: dict[str, Any] = {"state": self.state, "timestamp": since}
        if self._message is not None:
            status["message"] = self._message
        return status

    def _enter(self, event: TurnEvent) -> None:
        """Takes over the state and the message that the event brings."""
        self._message, self.since = None, datetime.now(UTC)
        match event:
            case Done():
                self.state = codec.COMPLETED
            case StatusUpdate():
                self._say(event.text)
            case InputRequired():
                self.state = codec.INPUT_REQUIRED
                self._tell(event.message, codec.approval_parts(event.context))
            case Handover():
                self.state = codec.REJECTED
                self._say(event.reason or f"handed over to {event.to or event.capability}")
            case Failed():
                self.state = self.state if self.state == codec.CANCELED else codec.FAILED
                self._say(event.error.message)

    def _say(self, text: str) -> None:
        self._tell(Message(role="assistant", content=text))

    def _tell(self, message: Message, more: Sequence[dict[str, Any]] = ()) -> None:
        self._messages += 1
        name = f"{self.id}-{self._messages}"
        self._message = codec.agent_message(message, name, self.id, self.context_id)
        self._message["parts"] += more

    # --- artifacts -----------------------------------------------------------------------------

    def _delta(self, text: str) -> dict[str, Any]:
        more, self._in_deltas = self._in_deltas, True
        artifact = {"artifactId": self._artifact_id(), "parts": [{"text": text}]}
        return {"artifact": artifact, "append": more, "lastChunk": False}

    def _whole(self, message: Message) -> dict[str, Any]:
        """The rest of a message: all of it, or what is not text when its text came in deltas."""
        name, parts = self._artifact_id(), codec.parts_of(message)
        more, self._in_deltas = self._in_deltas, False
        rest = (parts[1:] or [{"text": ""}]) if more else parts
        self._artifacts.append({"artifactId": name, "parts": parts})
        return {
            "artifact": {"artifactId": name, "parts": rest},
            "append": more,
            "lastChunk": True,
        }

    def _artifact_id(self) -> str:
        return f"answer-{len(self._artifacts) + 1}"


class Tasks:
    """The tasks of one server, each within a scope that others cannot look into."""

    def __init__(self) -> None:
        self._tasks: OrderedDict[tuple[str, str], Task] = OrderedDict()

    def begin(self, scope: str, context_id: str, *, extended: bool) -> Task:
        """A new task."""
        task = Task(context_id, extended=extended)
        self._tasks[scope, task.id] = task
        while len(self._tasks) > KEPT:
            self._tasks.popitem(last=False)
        return task

    def resume(self, scope: str, task_id: str, context_id: str | None, *, extended: bool) -> Task:
        """The task, going on; only one that waits for the user's reply can."""
        task = self.get(scope, task_id)
        if context_id and context_id != task.context_id:
            raise InvalidInput(f"task {task_id} belongs to another context")
        if task.state != codec.INPUT_REQUIRED:
            raise faults.Unsupported(
                f"task {task_id} does not wait for input: it is {task.state}; send a message"
                " without taskId to begin a new one"
            )
        task.resume(extended=extended)
        return task

    def of(self, scope: str) -> list[Task]:
        """All tasks of the scope."""
        return [task for (whose, _), task in self._tasks.items() if whose == scope]

    def get(self, scope: str, task_id: str) -> Task:
        """The task, or `TaskNotFound`."""
        found = self._tasks.get((scope, task_id))
        if found is None:
            raise faults.TaskNotFound(f"there is no task {task_id!r}, or it is no longer kept")
        return found

    def cancel(self, scope: str, task_id: str) -> Task:
        """The task, cancelled, or `TaskNotCancelable` when it has ended."""
        task = self.get(scope, task_id)
        if task.state in codec.ENDED:
            raise faults.TaskNotCancelable(f"task {task_id} has ended: it is {task.state}")
        task.cancel()
        return task
