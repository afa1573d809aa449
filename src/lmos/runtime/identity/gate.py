"""What each route is open to, decided where it is matched.

A route whose path has a `{tenant}` is for that tenant's applications, which come with its keys.
Its users, who come with tokens, reach those that are marked `for_users`, where a turn knows its
user, and of those `for_owners` what is about their own conversations. Routes that serve all tenants
and leave it to the query or the turn, or list what the caller may see, are marked `shared`; those
that everybody may see, `open_to_all`. A route that is none of these is for operators alone: who
adds one and says nothing has closed it. A tenant that the query names must be the caller's wherever
it stands. Where nobody has to say who they are (`CALLER` is None) all of this holds nothing back.

The answer to who may not is the same whether or not the tenant exists.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from lmos.model import Turn
from lmos.model.errors import Forbidden, LmosError, NotAllowed, NotFound
from lmos.protocols.auth import CALLER, Caller, refuse

#: Query parameters that name a tenant.
QUERIES = ("tenantId", "tenant")


#: Whether a conversation (its tenant, channel and id in a turn) is the user's.
Owns = Callable[[str, Turn], Awaitable[bool]]


class Gated(BaseRoute):
    """A route that only those reach whom it is open to."""

    def __init__(
        self,
        route: BaseRoute,
        *,
        shared: bool = False,
        public: bool = False,
        users: bool = False,
        owns: Owns | None = None,
    ) -> None:
        self.route = route
        self.shared = shared
        self.public = public
        self._users = users or shared
        self._owns = owns
        self.methods: set[str] = set(getattr(route, "methods", None) or ())

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
            await self._check(scope)
            self._check_method(scope)
        except LmosError as error:
            await refuse(error, scope, receive, send)
            return
        await self.route.handle(scope, receive, send)

    def _check_method(self, scope: Scope) -> None:
        """The methods of all routes at the path are told, not only those of the one that was found
        first.
        """
        if scope["type"] == "http" and self.methods and scope["method"] not in self.methods:
            allow = ", ".join(sorted(self.methods))
            text = f"{scope['method']} is not offered at {scope['path']}; use {allow}"
            raise NotAllowed(text, allow=allow)

    async def _check(self, scope: Scope) -> None:
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
        if caller.claims is not None and not self._users:
            await self._check_user(caller, scope, query)

    async def _check_user(self, caller: Caller, scope: Scope, query: QueryParams) -> None:
        """A token's user reaches what is the user's own, where that can be told."""
        path = scope["path_params"]
        if self._owns is None:
            raise Forbidden("this is for applications of the tenant, which have a key")
        if "conversation" not in path:
            if not caller.user_id or query.getlist("user") != [caller.user_id]:
                raise Forbidden(f"ask for your own: ?user={caller.user_id}")
            return
        channel = query.getlist("channel")
        if len(channel) != 1:
            raise Forbidden("say on which channel the conversation is: ?channel=")
        conversation = Turn(
            tenant=path["tenant"],
            channel=channel[0],
            conversation_id=path["conversation"],
            turn_id="-",
            messages=(),
        )
        if not caller.user_id or not await self._owns(caller.user_id, conversation):
            raise NotFound(f"this user has no conversation {path['conversation']!r}")


def shared(routes: Iterable[BaseRoute]) -> list[Gated]:
    """Routes for the callers of all tenants, that look themselves at whose they are."""
    return _marked(routes, shared=True)


def for_users(routes: Iterable[BaseRoute]) -> list[Gated]:
    """Routes of a tenant that its users may ask themselves, because a turn knows its user."""
    return _marked(routes, users=True)


def for_owners(routes: Iterable[BaseRoute], owns: Owns) -> list[Gated]:
    """Routes about conversations, that users may ask about their own."""
    return _marked(routes, owns=owns)


def open_to_all(routes: Iterable[BaseRoute]) -> list[Gated]:
    """Routes that need no credentials."""
    return _marked(routes, public=True)


def gated(routes: Iterable[BaseRoute]) -> list[Gated]:
    """All routes of an application, those included that nobody has marked."""
    found = _marked(routes)
    offered: defaultdict[str, set[str]] = defaultdict(set)
    for route in found:
        offered[route.path] |= route.methods
    for route in found:
        route.methods = route.methods and offered[route.path]
    return found


def _marked(routes: Iterable[BaseRoute], **marks: Any) -> list[Gated]:
    """The first mark of a route counts."""
    return [route if isinstance(route, Gated) else Gated(route, **marks) for route in routes]


def open_paths(routes: Iterable[BaseRoute]) -> set[str]:
    """The paths that need no credentials."""
    return {route.path for route in routes if isinstance(route, Gated) and route.public}
