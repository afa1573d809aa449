"""What A2A itself can refuse, as errors of ours, and how any error looks in both bindings."""

from typing import Any, NamedTuple

from starlette.responses import Response

from lmos.model.errors import (
    Conflict,
    InvalidInput,
    LmosError,
    NotAllowed,
    NotFound,
    face_of,
)
from lmos.protocols import http


class TaskNotFound(NotFound):
    """There is no such task, or it is no longer kept."""


class TaskNotCancelable(Conflict):
    """The task has ended already."""


class PushNotSupported(InvalidInput):
    """Push notifications are not offered."""


class Unsupported(InvalidInput):
    """The operation is not offered, or not for a task in this state."""


class VersionNotSupported(InvalidInput):
    """The client speaks a version of A2A that we do not."""


class InvalidRequest(InvalidInput):
    """What came is not a JSON-RPC request."""


class InvalidJson(InvalidInput):
    """What came is not JSON."""


class MethodNotFound(NotAllowed):
    """A2A has no such method."""


class Fault(NamedTuple):
    """An error in A2A's words."""

    code: int
    http: int
    status: str
    reason: str


_FAULTS: dict[type[Exception], Fault] = {
    TaskNotFound: Fault(-32001, 404, "NOT_FOUND", "TASK_NOT_FOUND"),
    TaskNotCancelable: Fault(-32002, 400, "FAILED_PRECONDITION", "TASK_NOT_CANCELABLE"),
    PushNotSupported: Fault(-32003, 400, "FAILED_PRECONDITION", "PUSH_NOTIFICATION_NOT_SUPPORTED"),
    Unsupported: Fault(-32004, 400, "FAILED_PRECONDITION", "UNSUPPORTED_OPERATION"),
    VersionNotSupported: Fault(-32009, 400, "FAILED_PRECONDITION", "VERSION_NOT_SUPPORTED"),
    InvalidRequest: Fault(-32600, 400, "INVALID_ARGUMENT", "INVALID_REQUEST"),
    InvalidJson: Fault(-32700, 400, "INVALID_ARGUMENT", "INVALID_REQUEST"),
    MethodNotFound: Fault(-32601, 404, "NOT_FOUND", "METHOD_NOT_FOUND"),
    InvalidInput: Fault(-32602, 400, "INVALID_ARGUMENT", "INVALID_PARAMS"),
}
_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def fault_of(error: LmosError) -> Fault:
    """The error in A2A's words; one that A2A does not know is internal, with our code as reason."""
    found = next((_FAULTS[c] for c in type(error).__mro__ if c in _FAULTS), None)
    face = face_of(error)
    if found is None:
        return Fault(-32603, face.status, _STATUS.get(face.status, "INTERNAL"), face.code)
    return found._replace(http=face.status) if found.reason == "INVALID_PARAMS" else found


def rpc_error(error: LmosError, request_id: Any) -> dict[str, Any]:
    """The JSON-RPC response."""
    fault = fault_of(error)
    body = {"code": fault.code, "message": error.message, "data": info(error, fault)}
    return {"jsonrpc": "2.0", "id": request_id, "error": body}


def rest_error(error: LmosError) -> Response:
    """The HTTP+JSON response."""
    fault = fault_of(error)
    body = {
        "code": fault.http,
        "status": fault.status,
        "message": error.message,
        "details": info(error, fault),
    }
    return http.json_response({"error": body}, fault.http, http.error_headers(error))


def info(error: LmosError, fault: Fault) -> list[dict[str, Any]]:
    """The error for machines, as google.rpc has it."""
    return [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": fault.reason,
            "domain": "a2a-protocol.org",
            "metadata": {name: str(value) for name, value in error.details.items()},
        }
    ]
