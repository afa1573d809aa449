"""Pages of others in a browser: a site that somebody visits must not ask an agent on their machine.

A browser sends such a request, WebSockets included, without asking first, and tells in `Origin`
where the page is from. Where nobody needs credentials that is all there is to go by.
"""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from lmos.model.errors import Forbidden
from lmos.protocols.auth import refuse


class Origins:
    """An ASGI application that pages reach only from `allowed` origins (`*`: any), from where they
    ask (the same host), and, on a loopback address, from this machine. Another name than this
    machine's for a loopback address does not count: names can be made to point here.
    """

    def __init__(self, app: ASGIApp, allowed: Collection[str] = ()) -> None:
        self._app = app
        self._allowed = frozenset(origin.lower().rstrip("/") for origin in allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves the request, or refuses it with 403."""
        origin = "" if scope["type"] == "lifespan" else _origin(scope)
        if origin and not self._may(origin, scope):
            error = Forbidden(f"pages of {origin} may not ask here; --cors-origin allows them")
            await refuse(error, scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _may(self, origin: str, scope: Scope) -> bool:
        if "*" in self._allowed or origin.lower() in self._allowed:
            return True
        place = urlsplit(origin)
        server = scope.get("server")
        if server and is_loopback(server[0]):
            return is_loopback(place.hostname or "")
        return place.netloc.lower() == HTTPConnection(scope).headers.get("host", "").lower()


def _origin(scope: Scope) -> str:
    return HTTPConnection(scope).headers.get("origin", "")


def is_loopback(host: str) -> bool:
    """Whether the name or address is this machine's own."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
