"""Everything that can go wrong, as one tree, and what each looks like from outside.

    LmosError
    ├── InvalidInput             the caller's request cannot be read or is not allowed
    │   ├── InvalidManifest      ... in a file, at a line, in a field
    │   └── TooLarge             ... because it is over a limit
    ├── Unauthenticated          who is asking is not known
    ├── Forbidden                who is asking may not
    ├── NotFound                 no such thing
    │   ├── ChannelNotFound      the tenant has no such channel, or it is not resolved
    │   └── AgentNotFound        no such agent on the channel
    ├── NotAllowed               the method is not offered there
    ├── Conflict                 somebody else changed or owns it
    ├── Gone                     the version asked for is no longer kept
    ├── Unroutable               no agent fits and there is no answer to give
    ├── Overloaded               too much at once; come back after `retry_after` seconds
    ├── AgentFailed              an agent answered with an error, badly, or not at all
    │   └── AgentUnavailable     ... because it is not there at the moment
    ├── ModelFailed              a language or embedding model could not be asked
    │   └── BudgetExceeded       ... because the turn has used up what it may take
    ├── StateUnavailable         where conversations and memory are kept cannot be used
    ├── DeadlineExceeded         the time of the turn is up
    └── MissingExtra             an optional part is not installed; says which

A message says what was asked, what was found and what to do. `FACES` maps each class to its HTTP
status, its `errorCode` on LMOS's REST API, its JSON-RPC code and its condition reason; servers look
errors up there and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


class LmosError(Exception):
    """The root. `details` are plain data for machines; the message is for people."""

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = {k: v for k, v in details.items() if v is not None}

    @classmethod
    def rebuilt(cls, message: str, details: Mapping[str, Any]) -> Self:
        """The error again from what a wire carried of it."""
        error = cls.__new__(cls)
        LmosError.__init__(error, message, **details)
        return error


class InvalidInput(LmosError):
    """The request cannot be read, or says something that is not allowed."""


class InvalidManifest(InvalidInput):
    """A manifest is wrong; `file`, `line` (from 1) and `field` say where, as far as known."""

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        line: int | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(message, file=file, line=line, field=field)

    def __str__(self) -> str:
        file, line, field = (self.details.get(name) for name in ("file", "line", "field"))
        place = ":".join(str(part) for part in (file, line) if part is not None)
        return ": ".join(part for part in (place, field, self.message) if part)


class TooLarge(InvalidInput):
    """Over a limit of size or count."""


class Unauthenticated(LmosError):
    """Who is asking is not known."""


class Forbidden(LmosError):
    """Who is asking is known and may not."""


class NotFound(LmosError):
    """There is no such thing."""


class ChannelNotFound(NotFound):
    """The tenant has no such channel, or nothing serves it."""


class AgentNotFound(NotFound):
    """The channel has no agent of that name."""


class NotAllowed(LmosError):
    """The HTTP method is not offered at that path."""


class Conflict(LmosError):
    """Somebody else has changed the object, or owns the field."""


class Gone(LmosError):
    """The version asked for is no longer kept: list again, then watch from there."""


class Unroutable(LmosError):
    """No agent fits the message and there is no answer to give."""


class Overloaded(LmosError):
    """Too much at once. `retry_after` is in seconds."""

    def __init__(self, message: str, *, retry_after: float = 1.0, **details: Any) -> None:
        super().__init__(message, retry_after=retry_after, **details)

    @property
    def retry_after(self) -> float:
        """Seconds after which to come back."""
        return float(self.details.get("retry_after", 1.0))


class AgentFailed(LmosError):
    """An agent answered with an error, with nonsense, or broke off."""


class AgentUnavailable(AgentFailed):
    """An agent cannot be reached at the moment."""


class ModelFailed(LmosError):
    """A language or embedding model could not be asked, or gave no usable answer."""


class BudgetExceeded(ModelFailed):
    """The turn has used up the rounds, tokens or money that it may take of a model."""


class StateUnavailable(LmosError):
    """Where conversations and memory are kept does not answer, or refuses."""


class DeadlineExceeded(LmosError):
    """The time of the turn is up."""


class MissingExtra(LmosError):
    """An optional part is needed that is not installed."""

    def __init__(self, extra: str, what: str) -> None:
        super().__init__(
            f"{what} needs the extra '{extra}': pip install 'lmos[{extra}]'", extra=extra
        )


@dataclass(frozen=True, slots=True)
class Face:
    """What an error looks like from outside."""

    status: int
    code: str
    jsonrpc: int
    reason: str


#: The one table. A class that is missing takes the face of its nearest ancestor.
FACES: dict[type[Exception], Face] = {
    Exception: Face(500, "INTERNAL_SERVER_ERROR", -32603, "InternalError"),
    InvalidInput: Face(400, "INVALID_REQUEST", -32602, "Invalid"),
    TooLarge: Face(413, "REQUEST_TOO_LARGE", -32602, "TooLarge"),
    Unauthenticated: Face(401, "UNAUTHENTICATED", -32001, "Unauthenticated"),
    Forbidden: Face(403, "FORBIDDEN", -32003, "Forbidden"),
    NotFound: Face(404, "NOT_FOUND", -32004, "NotFound"),
    ChannelNotFound: Face(404, "CHANNEL_NOT_FOUND", -32004, "ChannelNotFound"),
    AgentNotFound: Face(404, "AGENT_NOT_FOUND", -32004, "AgentNotFound"),
    NotAllowed: Face(405, "METHOD_NOT_ALLOWED", -32601, "MethodNotAllowed"),
    Conflict: Face(409, "CONFLICT", -32009, "Conflict"),
    Gone: Face(410, "GONE", -32010, "Expired"),
    Unroutable: Face(422, "UNROUTABLE", -32022, "Unroutable"),
    Overloaded: Face(429, "OVERLOADED", -32029, "Overloaded"),
    AgentFailed: Face(502, "AGENT_CLIENT_EXCEPTION", -32052, "AgentFailed"),
    AgentUnavailable: Face(503, "AGENT_UNAVAILABLE", -32053, "AgentUnavailable"),
    ModelFailed: Face(502, "MODEL_FAILED", -32054, "ModelFailed"),
    BudgetExceeded: Face(502, "BUDGET_EXCEEDED", -32057, "BudgetExceeded"),
    StateUnavailable: Face(503, "STATE_UNAVAILABLE", -32058, "StateUnavailable"),
    DeadlineExceeded: Face(504, "DEADLINE_EXCEEDED", -32055, "DeadlineExceeded"),
    MissingExtra: Face(501, "NOT_INSTALLED", -32056, "NotInstalled"),
}


def face_of(error: BaseException | type[BaseException]) -> Face:
    """How the error shows outside; anything unknown is an internal error."""
    cls = error if isinstance(error, type) else type(error)
    return next(FACES[c] for c in (*cls.__mro__, Exception) if c in FACES)


def code_to_error(code: str) -> type[LmosError]:
    """The class behind an `errorCode`, for clients that turn answers back into errors."""
    for cls, face in FACES.items():
        if face.code == code and issubclass(cls, LmosError):
            return cls
    return LmosError
