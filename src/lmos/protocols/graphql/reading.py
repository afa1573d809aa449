"""What a client sends over HTTP or WebSocket, read: parameters and headers. Pure."""

from collections.abc import Mapping
from typing import Any

from lmos.model.errors import InvalidInput
from lmos.protocols.graphql.execution import Operation

JSON, RESPONSE = "application/json", "application/graphql-response+json"
EVENT_STREAM = "text/event-stream"
_OFFERED = (JSON, RESPONSE, EVENT_STREAM)


def operation_of(data: Any) -> Operation:
    """The operation in the parameters of a request; `InvalidInput` where they are wrong."""
    if not isinstance(data, dict):
        raise InvalidInput('the request must be a JSON object such as {"query": "{agent{names}}"}')
    query, name = data.get("query"), data.get("operationName")
    if not isinstance(query, str):
        raise InvalidInput("query must be a document as text")
    if name is not None and not isinstance(name, str):
        raise InvalidInput("operationName must be text")
    _mapping(data, "extensions")
    return Operation(query, _mapping(data, "variables"), name)


def _mapping(data: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    found = data.get(name)
    if found is not None and not isinstance(found, dict):
        raise InvalidInput(f"{name} must be an object")
    return found


def check_json(content_type: str) -> None:
    """Raises unless a body of this content type is JSON in UTF-8. Pages of other origins cannot
    send that without being asked about it first, unlike forms and plain text.
    """
    kind, _, parameters = content_type.partition(";")
    if kind.strip().lower() != JSON:
        raise InvalidInput(f"the content type must be {JSON}, not {content_type or 'missing'}")
    for parameter in parameters.lower().split(";"):
        name, _, value = parameter.strip().partition("=")
        if name == "charset" and value.strip('"') not in ("utf-8", "utf8"):
            raise InvalidInput(f"the body must be in UTF-8, not {value}")


def acceptable(accept: str) -> list[str]:
    """The media types that we offer and the client takes, the one it likes best first."""
    asked = [_range(part) for part in (accept or "*/*").split(",")]
    found: list[tuple[float, int, str]] = []
    for offered in _OFFERED:
        fitting = [(_precision(kind, offered), q, i) for i, (kind, q) in enumerate(asked)]
        precision, q, place = max(fitting, key=lambda f: f[0])
        if precision and q:
            found.append((-q, place, offered))
    return [offered for _, _, offered in sorted(found, key=lambda f: f[:2])]


def _range(part: str) -> tuple[str, float]:
    kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return kind, min(max(float(value), 0.0), 1.0)
            except ValueError:
                return kind, 0.0
    return kind, 1.0


def _precision(kind: str, offered: str) -> int:
    """How exactly a media range names a type: 3 exactly, 1 as one of all, 0 not at all."""
    if kind == offered:
        return 3
    if kind == offered.split("/")[0] + "/*":
        return 2
    return int(kind in ("*/*", "*"))
