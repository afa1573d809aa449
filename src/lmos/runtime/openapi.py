"""The REST API's own description, made from what is served.

Every route below `/apis/v1` is in it: with what `OPERATIONS` knows of it, or else with its path,
its methods and how errors look. Schemas are those of the models that read the requests. The other
protocols have descriptions of their own; that they are there is said in words.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema
from starlette.routing import BaseRoute, Route

from lmos.model import (
    AgentAddress,
    AnonymizationEntity,
    Channel,
    ChannelRouting,
    Conversation,
    Decision,
    Message,
    Model,
    Usage,
)
from lmos.model.base import Tuple
from lmos.protocols.limits import NAME_LIMIT

API = "/apis/v1"
_REF = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")


class Problem(Model):
    """An error: RFC 9457 with the original's `errorCode` and `message`."""

    type: str
    title: str
    status: int
    detail: str
    instance: str = ""
    error_code: str
    message: str
    details: dict[str, Any] = Field(default_factory=dict)


class HandedOver(Model):
    """Whom the answer hands over to, where nobody of the channel could be asked."""

    to: str
    capability: str
    reason: str
    text: str


class AssistantMessage(Model):
    """The answer to a turn: the original's, with who answered and why."""

    content: str
    anonymization_entities: Tuple[AnonymizationEntity]
    agent: str
    conversation_id: str
    turn_id: str
    usage: Usage
    decision: Decision | None = None
    input_required: bool | None = None
    handover: HandedOver | None = None
    context: dict[str, str] = Field(default_factory=dict)


class Question(Model):
    """What somebody might say, to see who would answer: `text`, or `messages`. Where it is about a
    conversation that a user has, `user_id` says whose.
    """

    text: str | None = None
    messages: Tuple[Message] = ()
    conversation_id: str = Field(default="-decision-", min_length=1, max_length=NAME_LIMIT)
    user_id: str = ""


class AgentCapability(Model):
    """What an agent of a channel can do."""

    id: str
    name: str
    version: str
    description: str


class ChannelAgent(Model):
    """An agent of a channel."""

    id: str
    name: str
    version: str
    description: str
    capabilities: Tuple[AgentCapability]


class ChannelAgents(Model):
    """The agents of a channel in a subset."""

    subset: str
    agents: Tuple[ChannelAgent]


class PlacedAgent(ChannelAgent):
    """An agent of a channel, and where it is."""

    addresses: Tuple[AgentAddress]


@dataclass(frozen=True, slots=True)
class Operation:
    """What is known of a method at a path. `many` answers are a list; `stream` ones are also to be
    had as server-sent events; `query` and `headers` are by name, with whether they must be there.
    """

    summary: str
    body: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    many: bool = False
    stream: bool = False
    tagged: bool = False
    query: Mapping[str, bool] | None = None
    headers: Mapping[str, bool] | None = None
    errors: tuple[int, ...] = ()


_SUBSET, _PLACE = {"x-subset": False}, {"x-subset": False, "x-namespace": False}
_TURN = (400, 404, 413, 422, 429, 502, 503, 504)

#: By method and path.
OPERATIONS: dict[tuple[str, str], Operation] = {
    ("POST", f"{API}/{{tenant}}/chat/{{conversation}}/message"): Operation(
        "Answer a turn of a conversation",
        Conversation,
        AssistantMessage,
        stream=True,
        headers={"x-turn-id": False, "x-subset": False},
        errors=_TURN,
    ),
    ("POST", f"{API}/tenants/{{tenant}}/channels/{{channel}}/decision"): Operation(
        "Tell who would answer, and why", Question, Decision, headers=_SUBSET, errors=_TURN
    ),
    ("GET", f"{API}/agents"): Operation(
        "The agents of a channel",
        answer=ChannelAgents,
        query={"tenantId": True, "channelId": True, "subset": False},
        errors=(400, 404),
    ),
    ("GET", f"{API}/agents/{{tenant}}/{{channel}}"): Operation(
        "The agents of a channel, with their addresses",
        answer=PlacedAgent,
        many=True,
        headers=_SUBSET,
        errors=(404,),
    ),
    ("GET", f"{API}/tenants/{{tenant}}/channels"): Operation(
        "The channels of a tenant",
        answer=Channel,
        many=True,
        tagged=True,
        headers=_PLACE,
        errors=(400,),
    ),
    ("GET", f"{API}/tenants/{{tenant}}/channels/{{channel}}"): Operation(
        "A channel of a tenant", answer=Channel, tagged=True, headers=_PLACE, errors=(400, 404)
    ),
    ("GET", f"{API}/tenants/{{tenant}}/channels/{{channel}}/routing"): Operation(
        "Which agents serve a channel",
        answer=ChannelRouting,
        tagged=True,
        headers=_PLACE,
        errors=(400, 404),
    ),
}


#: What is served beside, where it is, and that OpenAPI has no words for.
BESIDE = {
    f"{API}/{{tenant}}/chat/{{conversation}}/ws": "turns of a conversation over a WebSocket "
    '(sub-protocol `lmos.turns.v1`): a frame `{"type": "turn", "turnId": ...}` with the body of '
    '`.../message` asks, `{"type": "cancel", "turnId": ...}` ends it, and each event comes back as '
    "a frame with its `turnId`",
    "/mcp/{tenant}/{channel}": "the channel and its agents as tools over MCP (streamable HTTP)",
    "/a2a/{tenant}/{channel}/.well-known/agent-card.json": "the channel's A2A card",
    "/v1/chat/completions": "channels as models `tenant/channel` of an OpenAI-compatible API",
    "/graphql": "channels as agents over GraphQL",
    "/agui/{agent:path}": "channels as agents over AG-UI",
}

#: A request of each kind.
EXAMPLES: dict[type[BaseModel], dict[str, Any]] = {
    Conversation: {
        "inputContext": {"messages": [{"role": "user", "content": "how much do I owe you?"}]},
        "systemContext": {"channelId": "web"},
        "userContext": {"userId": "alice"},
    },
    Question: {"text": "how much do I owe you?"},
}


def document(routes: Iterable[BaseRoute], *, closed: bool) -> dict[str, Any]:
    """The description, OpenAPI 3.1, of those of the routes that are of the REST API; `closed`
    where callers need credentials.
    """
    routes = list(routes)
    served = [route for route in routes if isinstance(route, Route) and route.path.startswith(API)]
    paths: dict[str, Any] = {}
    for route in served:
        methods = sorted((route.methods or set()) - {"HEAD"})
        item = {method.lower(): _described(method, route.path, closed) for method in methods}
        if item:
            paths.setdefault(_PARAMETER.sub(r"{\1}", route.path), {}).update(item)
    return {
        "openapi": "3.1.0",
        "info": {"title": "LMOS Runtime", "version": "1.0.0", "description": _beside(routes)},
        "paths": paths,
        "components": {"schemas": _schemas(), **({"securitySchemes": _KEYS} if closed else {})},
        **({"security": [{name: []} for name in _KEYS]} if closed else {}),
    }


def _beside(routes: Iterable[BaseRoute]) -> str:
    """What is served beside the REST API."""
    paths = {getattr(route, "path", "") for route in routes}
    lines = [f"- `{path}`: {words}" for path, words in BESIDE.items() if path in paths]
    return "\n".join(["Served beside this API:", "", *lines])


_KEYS = {
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}


def _described(method: str, path: str, closed: bool) -> dict[str, Any]:
    known = OPERATIONS.get((method, path), Operation(path.removeprefix(API)))
    errors = {*known.errors, *((401, 403) if closed else ())}
    found: dict[str, Any] = {
        "summary": known.summary,
        "parameters": [*_in_path(path), *_given(known)],
        "responses": {
            **_answers(known),
            **{str(status): _error(status) for status in sorted(errors)},
        },
    }
    if known.body is not None:
        shown = {"schema": _ref(known.body.__name__), "example": EXAMPLES[known.body]}
        content = {"application/json": shown}
        found["requestBody"] = {"required": True, "content": content}
    if (method, path) not in OPERATIONS:
        found["responses"] = {"default": {"description": "See the documents."}}
    return found


def _in_path(path: str) -> list[dict[str, Any]]:
    schema = {"type": "string", "minLength": 1, "maxLength": NAME_LIMIT}
    return [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name in _PARAMETER.findall(path)
    ]


def _given(known: Operation) -> list[dict[str, Any]]:
    schema = {"type": "string", "maxLength": NAME_LIMIT}
    return [
        {"name": name, "in": place, "required": needed, "schema": schema}
        for place, names in (("query", known.query or {}), ("header", known.headers or {}))
        for name, needed in names.items()
    ]


def _answers(known: Operation) -> dict[str, Any]:
    schema = _ref(known.answer.__name__ if known.answer else "Problem")
    shown = {"type": "array", "items": schema} if known.many else schema
    content: dict[str, Any] = {"application/json": {"schema": shown}}
    if known.stream:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    found: dict[str, Any] = {"200": {"description": known.summary, "content": content}}
    if known.tagged:
        found["304"] = {"description": "What the caller has is the newest."}
    return found


def _error(status: int) -> dict[str, Any]:
    from http import HTTPStatus

    content = {"application/problem+json": {"schema": _ref("Problem")}}
    return {"description": HTTPStatus(status).phrase, "content": content}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _REF.format(model=name)}


def _schemas() -> dict[str, Any]:
    """What is read as it is read, what is answered as it is answered: a model that is both is told
    as it is read.
    """
    read = {o.body for o in OPERATIONS.values() if o.body}
    answered = {o.answer for o in OPERATIONS.values() if o.answer} | {Problem}
    _, found = models_json_schema(
        [(model, "validation") for model in sorted(read | answered, key=lambda m: m.__name__)],
        ref_template=_REF,
    )
    return {name: _nullable(schema) for name, schema in found["$defs"].items()}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """Lists may be null on the wire, which is the same as empty."""
    properties = {
        name: {"anyOf": [one, {"type": "null"}]} if one.get("type") == "array" else one
        for name, one in schema.get("properties", {}).items()
    }
    return {**schema, **({"properties": properties} if properties else {})}
