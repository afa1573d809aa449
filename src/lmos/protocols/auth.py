"""Who is asking: keys and tokens, checked before a request reaches any protocol.

`Guard` stands before an ASGI application and `Auth.check` decides; who was found is in `CALLER`
while the request is served, and `identified` puts it into the turn. So no protocol knows of this.
Nothing of a credential is logged or told back. Errors of asking the key set are 5xx, not 401.
"""

import hmac
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from lmos.model import Responder, Turn, TurnEvent
from lmos.model.errors import InvalidInput, LmosError, Unauthenticated
from lmos.protocols import http
from lmos.protocols.tokens import Tokens

KEY_HEADER = "x-api-key"
#: What a WebSocket's sub-protocol begins with that is a credential.
BEARER_PROTOCOL = "lmos.bearer."


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. The holder of a key is trusted to say for whom it asks; a token speaks for the user
    that it names. `scope` keeps what belongs to different callers apart. `tenant` is the only one
    that the caller may ask for, None where callers are of no tenant; an `operator` may ask for all.
    """

    user_id: str = ""
    claims: Mapping[str, Any] | None = field(default=None, repr=False)
    tenant: str | None = None
    operator: bool = False

    def reaches(self, tenant: str) -> bool:
        """Whether the caller may ask for the tenant."""
        return self.operator or self.tenant is None or self.tenant == tenant

    @property
    def scope(self) -> str:
        """Empty for the holders of keys, else the token's issuer and subject."""
        if self.claims is None:
            return ""
        return f"{self.claims.get('iss', '')}|{self.claims.get('sub', '')}"


#: Who asks the request that is being served; None where nobody was checked.
CALLER: ContextVar[Caller | None] = ContextVar("lmos_caller", default=None)


class Checks(Protocol):
    """Finds out who asks."""

    async def check(self, headers: Mapping[str, str]) -> Caller | None:
        """Who the headers (names in small letters) are from, None where nobody has to say.
        `Unauthenticated` or `Forbidden` with what to do.
        """
        ...


class Auth:
    """Accepts callers with one of the `keys` or with a token that `tokens` verifies.

    Both come as `Authorization: Bearer`, keys also as `X-API-Key`. `user_claim` names the claim
    that is the user's id; with "" a token's holder may say for whom it asks.
    """

    def __init__(
        self, *, keys: Sequence[str] = (), tokens: Tokens | None = None, user_claim: str = "sub"
    ) -> None:
        if not all(key.strip() for key in keys):
            raise InvalidInput("an API key is empty")
        if not keys and tokens is None:
            raise InvalidInput("authentication needs keys or tokens; there is neither")
        self._keys = [_digest(key) for key in keys]
        self._tokens = tokens
        self._user_claim = user_claim

    @property
    def schemes(self) -> tuple[str, ...]:
        """What is accepted: `apiKey`, `bearer`."""
        return ("apiKey", "bearer") if self._keys else ("bearer",)

    async def check(self, headers: Mapping[str, str]) -> Caller:
        """Who the headers (names in small letters) are from. `Unauthenticated` or `Forbidden` with
        what to do.
        """
        credential = credential_of(headers)
        if not credential:
            raise Unauthenticated(f"no credentials: send {self._wanted()}")
        if self._known(credential):
            return Caller()
        if self._tokens is None:
            raise Unauthenticated("the API key is not known here")
        claims = await self._tokens.claims(credential)
        return Caller(str(claims.get(self._user_claim, "")) if self._user_claim else "", claims)

    def _known(self, credential: str) -> bool:
        """Whether it is one of the keys; takes as long whichever it is, and when it is none."""
        digest, found = _digest(credential), False
        for key in self._keys:
            found |= hmac.compare_digest(key, digest)
        return found

    def _wanted(self) -> str:
        kinds = [k for k, on in (("KEY", self._keys), ("TOKEN", self._tokens)) if on]
        return f"Authorization: Bearer {' or '.join(kinds)}"


def _digest(key: str) -> bytes:
    return sha256(key.encode()).digest()


def credential_of(headers: Mapping[str, str]) -> str:
    """The key or token that the headers bring, empty where there is none."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return headers.get(KEY_HEADER, "").strip()


class Guard:
    """An ASGI application that only callers whom `auth` accepts reach, save for `open_paths`.

    Over WebSocket the credentials come with the handshake: in its headers, or from browsers, whose
    pages cannot set those, in the sub-protocol `lmos.bearer.CREDENTIAL` beside the real one. An
    address is no place for them, which proxies log.
    """

    def __init__(self, app: ASGIApp, auth: Checks, open_paths: Collection[str] = ()) -> None:
        self._app = app
        self._auth = auth
        self._open = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves the request, or refuses it with 401 or 403."""
        if scope["type"] == "lifespan" or _path(scope) in self._open:
            await self._app(scope, receive, send)
            return
        try:
            caller = await self._auth.check(_presented(scope))
        except LmosError as error:
            await refuse(error, scope, receive, send)
            return
        before = CALLER.set(caller)
        try:
            await self._app(scope, receive, send)
        finally:
            CALLER.reset(before)


def _presented(scope: Scope) -> Mapping[str, str]:
    """The headers, with the credential of a WebSocket's sub-protocols where they have none."""
    headers = HTTPConnection(scope).headers
    named = [n for n in scope.get("subprotocols", ()) if n.startswith(BEARER_PROTOCOL)]
    if not named or credential_of(headers):
        return headers
    return {**headers, "authorization": f"Bearer {named[0].removeprefix(BEARER_PROTOCOL)}"}


def _path(scope: Scope) -> str:
    """The path below where the application is mounted."""
    path, root = scope["path"], scope.get("root_path", "").rstrip("/")
    return str(path[len(root) :] if root and path.startswith(root + "/") else path)


async def refuse(error: LmosError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the error, over HTTP or at the handshake of a WebSocket."""
    response = http.problem_response(error, scope["path"])
    if scope["type"] == "http":
        await response(scope, receive, send)
        return
    socket = WebSocket(scope, receive, send)
    if "websocket.http.response" in scope.get("extensions", {}):
        await socket.send_denial_response(response)
    else:
        await socket.close(code=1008, reason=error.message)


def identified(responder: Responder) -> Responder:
    """The responder, asked with what is verified about the caller, which wins over what the
    request says: a token's claims, and the user it names.
    """

    def respond(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        return responder(known(turn, CALLER.get()))

    return respond


def known(turn: Turn, caller: Caller | None) -> Turn:
    """The turn with what is verified about the caller."""
    if caller is None or caller.claims is None:
        return turn
    changes: dict[str, Any] = {"claims": dict(caller.claims)}
    if caller.user_id:
        changes["id"] = caller.user_id
    return turn.but(user=turn.user.but(**changes))
