"""The platform's resources over HTTP, to read.

Below `/apis/lmos.eclipse/v1` in the shape of a Kubernetes API server, so that a client reads a
laptop and a cluster alike (`?labelSelector=`, `?watch=true&resourceVersion=`). Below
`/apis/v1/tenants` as the original operator answers, `x-subset` and `x-namespace` included, with an
ETag besides. `/apis/v1/events` streams what happens.
"""

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from lmos.controlplane.events import EventLog
from lmos.model import API_GROUP, API_VERSION, STABLE, Channel, ChannelRouting, Resource, Store
from lmos.model import kind_of as kind_named
from lmos.model.errors import Gone, InvalidInput, LmosError, NotFound, face_of
from lmos.protocols import http, limits

GROUP_PATH = f"/apis/{API_GROUP}/v1"


def routes(store: Store, events: EventLog) -> list[Route]:
    """Everything of this module, to be put into an application."""
    objects, log = _Objects(store), _Events(events)
    named = "/namespaces/{namespace}/{plural}"
    return [
        Route(GROUP_PATH + "/{plural}", objects.list, methods=["GET"]),
        Route(GROUP_PATH + named, objects.list, methods=["GET"]),
        Route(GROUP_PATH + named + "/{name}", objects.get, methods=["GET"]),
        *tenant_routes(store),
        Route("/apis/v1/events", log.stream, methods=["GET"]),
    ]


def tenant_routes(store: Store, prefix: str = "") -> list[Route]:
    """What the original operator answers, and its runtime passes on."""
    tenants, channels = _Tenants(store), prefix + "/apis/v1/tenants/{tenant}/channels"
    return [
        Route(channels, tenants.channels, methods=["GET"]),
        Route(channels + "/{channel}", tenants.channel, methods=["GET"]),
        Route(channels + "/{channel}/routing", tenants.routing, methods=["GET"]),
    ]


class _Objects:
    """Resources in the shape of a Kubernetes API server."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list(self, request: Request) -> Response:
        try:
            kind = _kind(request)
            selector = _selector(request.query_params.get("labelSelector", ""))
            if request.query_params.get("watch") in ("true", "1"):
                return await self._watch(request, kind, selector)
            found, version = await self._store.list(kind, selector)
        except LmosError as error:
            return _status(error)
        namespace = request.path_params.get("namespace")
        items = [r.wire() for r in found if namespace in (None, r.metadata.namespace)]
        return _json(
            {
                "apiVersion": API_VERSION,
                "kind": f"{kind.__name__}List",
                "metadata": {"resourceVersion": version},
                "items": items,
            }
        )

    async def get(self, request: Request) -> Response:
        try:
            kind = _kind(request)
            name, namespace = request.path_params["name"], request.path_params["namespace"]
            found = await self._store.get(kind, name, namespace)
            if found is None:
                raise NotFound(f'{kind.plural}.{API_GROUP} "{name}" not found')
        except LmosError as error:
            return _status(error)
        return _json(found.wire())

    async def _watch(
        self, request: Request, kind: type[Resource], selector: Mapping[str, str]
    ) -> Response:
        version = request.query_params.get("resourceVersion")
        if version is None:
            _, version = await self._store.list(kind)
        if not _is_number(version):
            raise InvalidInput(f"resourceVersion {version!r} is not one that was given out")
        namespace = request.path_params.get("namespace")

        async def lines() -> AsyncIterator[bytes]:
            try:
                async with aclosing(self._store.watch(kind, version)) as changes:  # type: ignore[type-var]
                    async for change in changes:
                        resource = change.resource
                        here = namespace in (None, resource.metadata.namespace)
                        if here and selector.items() <= resource.metadata.labels.items():
                            yield _line(change.type.upper(), resource.wire())
            except Gone as error:
                yield _line("ERROR", _status_body(error))

        return StreamingResponse(lines(), media_type="application/json")


class _Tenants:
    """Channels and routings as the original operator gives them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def channels(self, request: Request) -> Response:
        found, _ = await self._store.list(Channel)
        wanted = _wanted(request)
        mine = [c for c in found if _place(c) == wanted]
        return _tagged(request, [c.wire() for c in mine])

    async def channel(self, request: Request) -> Response:
        found, _ = await self._store.list(Channel)
        return self._first(request, found, "channel")

    async def routing(self, request: Request) -> Response:
        found, _ = await self._store.list(ChannelRouting)
        return self._first(request, found, "routing of channel")

    def _first(
        self, request: Request, found: "list[Channel] | list[ChannelRouting]", what: str
    ) -> Response:
        name, wanted = request.path_params["channel"], _wanted(request)
        for resource in found:
            if resource.channel == name and _place(resource) == wanted:
                return _tagged(request, _public(resource))
        tenant = request.path_params["tenant"]
        error = NotFound(f"tenant {tenant} has no {what} {name}")
        body = {**http.problem(error, request.url.path), "error": error.message}
        return http.json_response(body, 404, media_type="application/problem+json")


class _Events:
    """The event log as server-sent events: those kept, then those to come."""

    def __init__(self, events: EventLog) -> None:
        self._events = events

    async def stream(self, request: Request) -> Response:
        last = request.headers.get("last-event-id", "")
        after = int(last) if _is_number(last) else 0

        async def frames() -> AsyncIterator[bytes]:
            async for event in self._events.subscribe(after):
                yield b"id: %d\ndata: %s\n\n" % (event.number, orjson.dumps(event.wire()))

        if request.query_params.get("watch") == "false":
            return _json([event.wire() for event in self._events.recent()])
        return StreamingResponse(frames(), media_type="text/event-stream")


# --- reading requests -----------------------------------------------------------------------------


def _kind(request: Request) -> type[Resource]:
    plural = request.path_params["plural"]
    kind = kind_named(plural)
    if kind is None or kind.plural != plural:
        raise NotFound(f"the server has no resource {plural!r} in {API_VERSION}")
    return kind


def _selector(text: str) -> dict[str, str]:
    """`a=b,c=d` as a mapping."""
    found = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not equals or key.endswith("!"):
            raise InvalidInput(f"labelSelector {text!r} is not understood; write a=b,c=d")
        found[key.strip()] = value.removeprefix("=").strip()
    return found


def _is_number(text: str) -> bool:
    """Whether it is the decimal form of a count; "²" is a digit and no number."""
    return text.isascii() and text.isdecimal() and len(text) < 20


def _place(resource: Channel | ChannelRouting) -> tuple[str, str, str]:
    return resource.tenant, resource.subset, resource.metadata.namespace


def _wanted(request: Request) -> tuple[str, str, str]:
    """The tenant, subset and namespace that the request asks for."""
    subset, namespace = (
        _named(request, "x-subset", STABLE),
        _named(request, "x-namespace", "default"),
    )
    return request.path_params["tenant"], subset, namespace


def _named(request: Request, header: str, default: str) -> str:
    return limits.check_name(header, request.headers.get(header) or default)


# --- writing responses ----------------------------------------------------------------------------


def _json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, "application/json")


def _tagged(request: Request, content: Any) -> Response:
    """The content with an ETag, or 304 when the caller has it already."""
    body = orjson.dumps(content)
    tag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    known = request.headers.get("if-none-match", "").split(",")
    if not {"*", tag}.isdisjoint(given.strip().removeprefix("W/") for given in known):
        return Response(status_code=304, headers={"etag": tag})
    return Response(body, 200, {"etag": tag}, "application/json")


def _public(resource: Resource) -> dict[str, Any]:
    """Without who owns it, as the original leaves that out."""
    data = resource.wire()
    data["metadata"].pop("ownerReferences", None)
    return data


def _status_body(error: LmosError) -> dict[str, Any]:
    face = face_of(error)
    return {
        "apiVersion": "v1",
        "kind": "Status",
        "metadata": {},
        "status": "Failure",
        "message": error.message,
        "reason": face.reason,
        "code": face.status,
    }


def _status(error: LmosError) -> Response:
    return _json(_status_body(error), face_of(error).status)


def _line(type_: str, resource: Any) -> bytes:
    return orjson.dumps({"type": type_, "object": resource}) + b"\n"
