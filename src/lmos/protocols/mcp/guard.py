"""Who may come to `/mcp`: no page of somebody else's in a browser, nobody without a token where
tokens are asked for, and nobody with too much.
"""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lmos.model import User, errors
from lmos.protocols import http
from lmos.protocols.origins import is_loopback

#: Tells who has the bearer token; None when it is nobody's.
Authenticate = Callable[[str], User | Awaitable[User | None] | None]
#: Where the user is in the scope of a request that was let in.
USER = "lmos.user"
ANY = "*"
#: Bytes of a request.
BODY_LIMIT = 4 * http.BODY_LIMIT


class Guard:
    """Lets requests in to an ASGI app.

    A browser says where a page comes from in `Origin`: it must be one of `origins`, or, on a
    loopback address, a page of this machine. What is served on a loopback address must be asked
    for by a loopback name or one of `hosts`, so that a name that was made to point here (DNS
    rebinding) does not do; `hosts` that are given hold on every address. `*` is any.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        authenticate: Authenticate | None = None,
        hosts: Sequence[str] = (),
        origins: Sequence[str] = (),
        challenge: Callable[[Scope], str] = lambda _: "Bearer",
    ) -> None:
        self._app = app
        self._authenticate = authenticate
        self._hosts = {host.lower() for host in hosts}
        self._origins = {origin.lower() for origin in origins}
        self._challenge = challenge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or answers with 401, 403 or 413."""
        headers = Headers(scope=scope)
        try:
            self._check_origin(headers, scope)
            user = await self._user(headers)
            body = await http.read_body(Request(scope, receive), BODY_LIMIT)
        except errors.LmosError as error:
            response = http.problem_response(error, scope["path"])
            if isinstance(error, errors.Unauthenticated):
                response.headers["www-authenticate"] = self._challenge(scope)
            await response(scope, receive, send)
            return
        scope = {**scope, **_identity(user, headers)}
        await self._app(scope, _replayed(body, receive), send)

    def _check_origin(self, headers: Headers, scope: Scope) -> None:
        local = is_loopback((scope.get("server") or ("",))[0])
        host, origin = _host(headers.get("host", "")), headers.get("origin", "").lower()
        if (local or self._hosts) and not self._knows_host(host, local):
            raise errors.Forbidden(f"{host or 'no host'} is not served here; see `hosts`")
        if origin and not self._knows_origin(origin, local):
            raise errors.Forbidden(f"pages of {origin} may not ask here; see `origins`")

    def _knows_host(self, host: str, local: bool) -> bool:
        return bool(self._hosts & {host, ANY}) or (local and is_loopback(host))

    def _knows_origin(self, origin: str, local: bool) -> bool:
        if self._origins & {origin, ANY}:
            return True
        return local and is_loopback(urlsplit(origin).hostname or "")

    async def _user(self, headers: Headers) -> User | None:
        if self._authenticate is None:
            return None
        token = bearer(headers)
        if not token:
            raise errors.Unauthenticated("a bearer token is needed here")
        found = self._authenticate(token)
        user = await found if inspect.isawaitable(found) else found
        if user is None:
            raise errors.Unauthenticated("the bearer token is not valid here")
        return user


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body once more, then whatever comes: that the client leaves."""
    told = False

    async def replay() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def bearer(headers: Headers) -> str:
    """The bearer token, empty when there is none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _identity(user: User | None, headers: Headers) -> dict[str, Any]:
    """What the scope says of the user. The SDK binds a session to whoever opened it."""
    if user is None:
        return {}
    from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
    from mcp.server.auth.provider import AccessToken

    token = AccessToken(token=bearer(headers), client_id=user.id, subject=user.id, scopes=[])
    return {USER: user, "user": AuthenticatedUser(token)}


def _host(header: str) -> str:
    """The host of a `Host` header, without its port and brackets."""
    return (urlsplit(f"//{header}").hostname or "") if header else ""
