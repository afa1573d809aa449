"""Which of a caller's tasks are told, page by page, the last changed first. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from lmos.model import Model
from lmos.model.errors import InvalidInput
from lmos.protocols import limits
from lmos.protocols.a2a.tasks import Task


class Wanted(Model):
    """The parameters of ListTasks."""

    context_id: str = ""
    status: str = ""
    page_size: int = Field(default=50, ge=1, le=100)
    page_token: str = ""
    status_timestamp_after: datetime | None = None
    include_artifacts: bool = False


def listed(tasks: Sequence[Task], params: Any) -> dict[str, Any]:
    """The page of the tasks that the parameters ask for. A token names the last task of the page
    before; `InvalidInput` when it is none of ours.
    """
    wanted = limits.parsed(Wanted, params)
    fitting = sorted((t for t in tasks if _fits(t, wanted)), key=_place, reverse=True)
    last = _placed(wanted.page_token) if wanted.page_token else None
    rest = [task for task in fitting if last is None or _place(task) < last]
    page, more = rest[: wanted.page_size], len(rest) > wanted.page_size
    return {
        "tasks": [_shown(task, wanted) for task in page],
        "nextPageToken": "/".join(_place(page[-1])) if more else "",
        "pageSize": wanted.page_size,
        "totalSize": len(fitting),
    }


def _fits(task: Task, wanted: Wanted) -> bool:
    if wanted.context_id and task.context_id != wanted.context_id:
        return False
    if wanted.status and task.state != wanted.status:
        return False
    after = wanted.status_timestamp_after
    if after is not None and after.tzinfo is None:
        after = after.replace(tzinfo=UTC)
    return after is None or task.since >= after


def _place(task: Task) -> tuple[str, str]:
    return task.since.isoformat(timespec="microseconds"), task.id


def _placed(token: str) -> tuple[str, str]:
    since, slash, task_id = token.partition("/")
    if not slash:
        raise InvalidInput("pageToken is not one that was given here")
    return since, task_id


def _shown(task: Task, wanted: Wanted) -> dict[str, Any]:
    found = task.snapshot()
    if not wanted.include_artifacts:
        found.pop("artifacts", None)
    found.pop("metadata", None)
    return found
