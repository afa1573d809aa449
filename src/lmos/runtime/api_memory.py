"""Shared values over HTTP, and a tenant's as tools of an MCP server:

GET         /apis/v1/{tenant}/conversations/{id}/memory?channel=&as=          all of them
GET|PUT|DELETE  /apis/v1/{tenant}/conversations/{id}/memory/{name}            {value, readers, ttl}
... /apis/v1/{tenant}/users/{user}/memory[/{name}]                            the same of a user
... /apis/v1/{tenant}/memory[/{name}]                                         and of the tenant
/apis/v1/{tenant}/mcp                                                         MCP

`as` names the agent that reads and writes as itself; without it the application does.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from lmos.model import Share, Strict, errors
from lmos.model.base import Tuple
from lmos.protocols import http, limits, mcp
from lmos.protocols.extras import installed
from lmos.runtime.api_mcp import Faces
from lmos.runtime.conversations import Conversations
from lmos.runtime.memory import tools
from lmos.runtime.memory.access import About, Access, shown
from lmos.runtime.supervisor import Supervisor

TENANT = "/apis/v1/{tenant}"
PLACES = (TENANT + "/conversations/{conversation}/memory", TENANT + "/users/{user}/memory",
          TENANT + "/memory")  # fmt: skip


class Written(Strict):
    """The body of a PUT."""

    value: Any
    readers: Tuple[str] = Field(default=())
    ttl: float | None = None


def routes(supervisor: Supervisor) -> list[BaseRoute]:
    """The routes of this module."""
    conversations = Conversations(supervisor.state, supervisor.log, supervisor.alone)

    async def where(tenant: str, conversation: str) -> str:
        channels = {*supervisor.routings.channels(tenant), *await supervisor.log.channels(tenant)}
        return (await conversations.find(tenant, conversation, sorted(channels))).channel

    access = Access(supervisor.memory, supervisor.routings, where)
    api = _Api(access)
    found: list[BaseRoute] = []
    for place in PLACES:
        found += [
            Route(place, api.list, methods=["GET"]),
            Route(place + "/{name}", api.get, methods=["GET"]),
            Route(place + "/{name}", api.put, methods=["PUT"]),
            Route(place + "/{name}", api.remove, methods=["DELETE"]),
        ]
    if installed("mcp"):

        async def offered(path: Mapping[str, str]) -> mcp.Offer:
            if not supervisor.routings.channels(path["tenant"]):
                raise errors.NotFound(f"there is no tenant {path['tenant']!r} with channels")
            return tools.offer(access, path["tenant"])

        found.append(Route(TENANT + "/mcp", Faces(supervisor.closing, offered)))
    return found


class _Api:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def list(self, request: Request) -> Response:
        values = await self._access.list(_about(request), _agent(request))
        return http.json_response({"values": [shown(value) for value in values]})

    async def get(self, request: Request) -> Response:
        name = _name(request)
        value = await self._access.get(_about(request), name, _agent(request))
        return http.json_response(shown(value))

    async def put(self, request: Request) -> Response:
        body = limits.parsed(Written, await http.read_json(request))
        share = Share(name=_name(request), value=body.value, readers=body.readers, ttl=body.ttl)
        value = await self._access.put(_about(request), share, _agent(request))
        return http.json_response(shown(value))

    async def remove(self, request: Request) -> Response:
        await self._access.remove(_about(request), _name(request), _agent(request))
        return Response(status_code=204)


def _about(request: Request) -> About:
    given = request.path_params
    about: dict[str, str] = {
        what: limits.check_name(what, given[what])
        for what in ("tenant", "conversation", "user")
        if what in given
    }
    if channel := request.query_params.get("channel"):
        about["channel"] = limits.check_name("channel", channel)
    return About(**about)


def _name(request: Request) -> str:
    return limits.check_name("name", request.path_params["name"])


def _agent(request: Request) -> str:
    return request.query_params.get("as", "")
