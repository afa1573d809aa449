"""What each route is open to, decided where it is matched.

A route whose path has a `{tenant}` is for callers of that tenant. Routes that serve all tenants and
leave it to the query or the turn, or list what the caller may see, are marked `shared`; those that
everybody may see, `open_to_all`. A route that is none of these is for operators alone: who adds
one and says nothing has closed it. A tenant that the query names must be the caller's wherever it
stands. Where nobody has to say who they are (`CALLER` is None) all of this holds nothing back.

The answer to who may not is the same whether or not the tenant exists.
"""

from collections.abc import Iterable
from typing import Any

from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from lmos.model.errors import Forbidden, LmosError
from lmos.protocols.auth import CALLER, refuse

#: Query parameters that name a tenant.
QUERIES = ("tenantId", "tenant")


class Gated(BaseRoute):
    """A route that only those reach whom it is open to."""

    def __init__(self, route: BaseRoute, *, shared: bool = False, public: bool = False) -> None:
        self.route = route
        self.shared = shared
        self.public = public

    @property
    def path(self) -> str:
        """The route's path."""
        return str(getattr(self.route, "path", ""))

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whatever the route says."""
        return self.route.matches(scope)

    def url_path_for(self, name: str, /, **path_params: Any) -> Any:
        """Whatever the route says."""
        return self.route.url_path_for(name, **path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves the request, or refuses it with 403, before the route looks at its method."""
        try:
            self._check(scope)
        except LmosError as error:
            await refuse(error, scope, receive, send)
            return
        await self.route.handle(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        caller = CALLER.get()
        if caller is None or self.public or caller.operator:
            return
        query = HTTPConnection(scope).query_params
        named = [value for name in QUERIES for value in query.getlist(name)]
        tenant = scope["path_params"].get("tenant")
        if tenant is not None:
            named.append(tenant)
        elif not self.shared:
            raise Forbidden("this is for operators of the platform")
        if not all(map(caller.reaches, named)):
            raise Forbidden("these credentials are not for this tenant")


def shared(routes: Iterable[BaseRoute]) -> list[BaseRoute]:
    """Routes for the callers of all tenants, that look themselves at whose they are."""
    return [Gated(route, shared=True) for route in routes]


def open_to_all(routes: Iterable[BaseRoute]) -> list[BaseRoute]:
    """Routes that need no credentials."""
    return [Gated(route, public=True) for route in routes]


def gated(routes: Iterable[BaseRoute]) -> list[BaseRoute]:
    """All routes of an application, those included that nobody has marked."""
    return [route if isinstance(route, Gated) else Gated(route) for route in routes]


def open_paths(routes: Iterable[BaseRoute]) -> set[str]:
    """The paths that need no credentials."""
    return {route.path for route in routes if isinstance(route, Gated) and route.public}
