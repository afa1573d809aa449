"""What an A2A agent that does not know the extension says, as a turn's events."""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from lmos.model import (
    Answer,
    BinaryData,
    Done,
    InputRequired,
    Message,
    Model,
    Share,
    Started,
    StatusUpdate,
    TextDelta,
    TurnEvent,
)
from lmos.model.base import Tuple
from lmos.model.errors import AgentFailed
from lmos.protocols.a2a import codec
from lmos.protocols.a2a.codec import Part
from lmos.protocols.answering import SEPARATOR

#: Characters that an answer may have altogether.
TEXT_LIMIT = 4 * 1024 * 1024


class Said(Model):
    """A message of the agent's."""

    parts: Tuple[Part] = ()
    context_id: str | None = None
    task_id: str | None = None
    metadata: dict[str, Any] | None = None


class TaskStatus(Model):
    """How a task is."""

    state: str
    message: Said | None = None


class Artifact(Model):
    """A result, or a piece of it."""

    artifact_id: str = ""
    parts: Tuple[Part] = ()
    metadata: dict[str, Any] | None = None


class TaskState(Model):
    """A task."""

    id: str
    context_id: str | None = None
    status: TaskStatus
    artifacts: Tuple[Artifact] = ()


class StatusEvent(Model):
    """A change of a task's status."""

    task_id: str | None = None
    context_id: str | None = None
    status: TaskStatus


class ArtifactEvent(Model):
    """A piece of a task's result."""

    task_id: str | None = None
    context_id: str | None = None
    artifact: Artifact
    append: bool | None = None


class Update(Model):
    """A StreamResponse: one of the four."""

    task: TaskState | None = None
    message: Said | None = None
    status_update: StatusEvent | None = None
    artifact_update: ArtifactEvent | None = None


class Translator:
    """Turns the updates of one turn into events; remembers how to go on with the conversation.

    `AgentFailed` is raised for what is not an answer: failure, rejection, wish for credentials.
    """

    def __init__(self, agent: str, version: str) -> None:
        self._started = Started(agent=agent, version=version)
        self._begun = False
        self._text: list[str] = []
        self._size = 0
        self._artifacts: dict[str, str] = {}
        self._binary: list[BinaryData] = []
        self.context_id: str | None = None
        self.waiting_task: str | None = None

    def read(self, update: Update) -> Iterator[TurnEvent]:
        """The events that the update stands for."""
        if not self._begun:
            self._begun = True
            yield self._started
        for metadata in _metadata(update):
            yield from _shares(metadata)
        if update.task:
            self.context_id = update.task.context_id
            for artifact in update.task.artifacts:
                yield from self._add(artifact, append=False)
            yield from self._status(update.task.status, update.task.id)
        elif update.message:
            self.context_id = update.message.context_id
            text, binary = codec.content_of(update.message.parts)
            self._binary += binary
            yield from self._add(Artifact(parts=(Part(text=text),)), append=False)
            yield from self._finish()
        elif update.artifact_update:
            piece = update.artifact_update
            yield from self._add(piece.artifact, append=bool(piece.append))
        elif update.status_update:
            change = update.status_update
            self.context_id = change.context_id or self.context_id
            yield from self._status(change.status, change.task_id)

    def _status(self, status: TaskStatus, task_id: str | None) -> Iterator[TurnEvent]:
        text, binary = codec.content_of(status.message.parts if status.message else ())
        match status.state:
            case codec.COMPLETED:
                if text and text not in "".join(self._text):
                    yield from self._add(Artifact(artifact_id="status", parts=(Part(text=text),)))
                self._binary += binary
                yield from self._finish()
            case codec.INPUT_REQUIRED:
                self.waiting_task = task_id
                question = text or "".join(self._text)
                message = Message(role="assistant", content=question, binary_data=binary)
                yield InputRequired(message=message)
            case codec.AUTH_REQUIRED:
                raise AgentFailed("the agent asks for credentials" + (text and f": {text}"))
            case codec.FAILED | codec.REJECTED | codec.CANCELED:
                word = status.state.removeprefix("TASK_STATE_").lower()
                raise AgentFailed(f"the agent's task is {word}" + (text and f": {text}"))
            case _:
                if text:
                    yield StatusUpdate(text=text)

    def _finish(self) -> Iterator[TurnEvent]:
        text = "".join(self._text)
        if not text and not self._binary:
            raise AgentFailed("the agent finished without an answer")
        message = Message(role="assistant", content=text, binary_data=tuple(self._binary))
        yield Answer(message=message)
        yield Done()

    def _add(self, artifact: Artifact, append: bool = True) -> Iterator[TurnEvent]:
        """The text that the piece adds to what was said already."""
        # An artifact that came in pieces has them as its parts.
        text, binary = codec.content_of(artifact.parts, between="")
        self._binary += [piece for piece in binary if piece not in self._binary]
        known = self._artifacts.get(artifact.artifact_id)
        if known is None:
            added = (SEPARATOR if self._text else "") + text if text else ""
        elif append:
            added = text
        elif text.startswith(known):  # the whole once more, after its pieces
            added = text[len(known) :]
        else:
            added = SEPARATOR + text
        if not added:
            return
        self._artifacts[artifact.artifact_id] = (known or "") + text if append else text
        self._text.append(added)
        self._size += len(added)
        if self._size > TEXT_LIMIT:
            raise AgentFailed(f"the agent's answer is longer than {TEXT_LIMIT} characters")
        yield TextDelta(text=added)


def _metadata(update: Update) -> Iterator[dict[str, Any]]:
    """The metadata of everything that the update brings."""
    status = update.task or update.status_update
    said = [update.message, status.status.message if status else None]
    made = list(update.task.artifacts) if update.task else []
    if update.artifact_update:
        made.append(update.artifact_update.artifact)
    for holder in (*said, *made):
        if holder and holder.metadata:
            yield holder.metadata


def _shares(metadata: dict[str, Any]) -> Iterator[Share]:
    """What the agent shares; what cannot be read is passed over."""
    found = metadata.get(codec.SHARED)
    for data in found if isinstance(found, list) else []:
        try:
            yield Share.model_validate(data)
        except ValidationError:
            continue
