"""An agent behind ARC's GraphQL as a responder, over graphql-transport-ws."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from lmos.model import TERMINAL, Responder, Turn, TurnEvent
from lmos.model.errors import AgentFailed, AgentUnavailable, LmosError, code_to_error
from lmos.protocols import calls, http
from lmos.protocols.answering import answered
from lmos.protocols.graphql import codec
from lmos.protocols.graphql.server import PATH, SOCKET
from lmos.protocols.graphql.translator import QUERY, Translator
from lmos.protocols.graphql.websocket import SUBPROTOCOL
from lmos.protocols.text import json_text

if TYPE_CHECKING:
    import aiohttp

#: Bytes that a message may have, and seconds that closing a connection may take.
MESSAGE_LIMIT, CLOSING = 4 * 1024 * 1024, 0.5
#: How often a pooled connection may turn out to be closed before a new one is made.
STALE = 16
_ID = "1"


def responder(url: str, agent: str | None = None) -> Responder:
    """Answers turns by asking the agent at the URL: that of the WebSocket, which ends in
    `/subscriptions`, or of the server, http or ws alike. `agent`, or the URL's fragment, names one
    of several; else the server's first one answers. Each turn has a connection of its own, and
    leaving it ends the turn there.
    """
    remote = _Remote(url, agent)

    def respond(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        return answered(remote.ask, turn, agent=remote.name)

    return respond


def base_of(url: str) -> str:
    """The HTTP address of the server at a URL as `responder` takes it, with nothing after it."""
    base = url.partition("#")[0].rstrip("/")
    for end in (SOCKET, PATH):
        base = base.removesuffix(end)
    scheme, colon, rest = base.partition("://")
    return {"ws": "http", "wss": "https"}.get(scheme, scheme) + colon + rest


class _Remote:
    def __init__(self, url: str, agent: str | None) -> None:
        self._agent = agent or urlsplit(url).fragment or None
        self._url = base_of(url) + SOCKET
        self._who = f"the agent at {base_of(url)}"
        self.name = self._agent or "lmos"

    async def ask(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        """The agent's events; raises where it fails."""
        translator = Translator(self.name, self._who)
        async with self._connection(turn) as socket:
            await self._begin(socket, turn)
            while True:
                message = await self._message(socket)
                match message.get("type"):
                    case "next":
                        for event in translator.read(_data(message, self._who)):
                            yield event
                            if isinstance(event, TERMINAL):
                                return
                    case "error":
                        raise failure_of(message.get("payload"), self._who)
                    case "complete":
                        raise AgentFailed(f"{self._who} ended without an answer")

    async def _begin(self, socket: "aiohttp.ClientWebSocketResponse", turn: Turn) -> None:
        await _send(socket, {"type": "connection_init"})
        while (await self._message(socket)).get("type") != "connection_ack":
            pass
        request = codec.request_of(turn).model_dump(mode="json", by_alias=True)
        variables = {"agentName": self._agent, "request": request}
        payload = {"query": QUERY, "operationName": "Agent", "variables": variables}
        await _send(socket, {"type": "subscribe", "id": _ID, "payload": payload})

    async def _message(self, socket: "aiohttp.ClientWebSocketResponse") -> Mapping[str, Any]:
        """The next message; what asks for an answer of its own is answered."""
        import aiohttp

        received = await socket.receive()
        if received.type is not aiohttp.WSMsgType.TEXT:
            raise self._closed(socket, received)
        try:
            found = orjson.loads(received.data)
        except orjson.JSONDecodeError as error:
            raise AgentFailed(f"{self._who} sent what is not JSON: {error}") from None
        if not isinstance(found, dict):
            raise AgentFailed(f"{self._who} sent a JSON {type(found).__name__}, not a message")
        if found.get("type") == "ping":
            await _send(socket, {"type": "pong"})
        return found

    def _closed(
        self, socket: "aiohttp.ClientWebSocketResponse", received: "aiohttp.WSMessage"
    ) -> LmosError:
        import aiohttp

        if received.type is aiohttp.WSMsgType.ERROR:
            return AgentFailed(f"{self._who} broke off: {received.data}")
        said = f": {received.extra}" if isinstance(received.extra, str) and received.extra else ""
        return AgentFailed(f"{self._who} closed the connection ({socket.close_code}){said}")

    @asynccontextmanager
    async def _connection(
        self, turn: Turn
    ) -> "AsyncGenerator[aiohttp.ClientWebSocketResponse, None]":
        import aiohttp

        try:
            socket = await self._connected(turn)
            try:
                yield socket
            finally:
                await _leave(socket)
        except aiohttp.WSServerHandshakeError as error:
            refusal = calls.Refusal(self._who, error.status, dict(error.headers or {}), {})
            raise calls.agent_error(refusal) from None
        except aiohttp.ClientConnectorError as error:
            raise AgentUnavailable(f"{self._who} cannot be reached: {error.os_error}") from None
        except aiohttp.InvalidURL:
            text = f"{self._who} cannot be reached: {self._url!r} is not an address"
            raise AgentUnavailable(text) from None
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            text = f"{self._who} closed the connection without an answer"
            raise AgentUnavailable(text) from None
        except TimeoutError:
            raise AgentFailed(f"{self._who} was silent for too long") from None
        except aiohttp.ClientError as error:
            raise AgentFailed(f"{self._who} broke off: {error}") from None

    async def _connected(self, turn: Turn) -> "aiohttp.ClientWebSocketResponse":
        """The open WebSocket. The server may have closed pooled connections; nothing was asked on
        them yet, so another one is taken.
        """
        import aiohttp

        for attempt in range(STALE):
            try:
                return await http.session().ws_connect(
                    self._url,
                    protocols=(SUBPROTOCOL,),
                    headers=calls.turn_headers(turn),
                    timeout=aiohttp.ClientWSTimeout(ws_receive=calls.SILENCE, ws_close=CLOSING),
                    max_msg_size=MESSAGE_LIMIT,
                )
            except aiohttp.ClientConnectorError:
                raise
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if attempt == STALE - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")


async def _send(socket: "aiohttp.ClientWebSocketResponse", message: Mapping[str, Any]) -> None:
    await socket.send_str(json_text(message))


async def _leave(socket: "aiohttp.ClientWebSocketResponse") -> None:
    """Ends the subscription, which ends its turn, and the connection."""
    if not socket.closed:
        with suppress(Exception):
            await _send(socket, {"type": "complete", "id": _ID})
    await socket.close()


def _data(message: Mapping[str, Any], who: str) -> Any:
    """The data of a result; its errors are raised."""
    payload = message.get("payload")
    if not isinstance(payload, dict):
        raise AgentFailed(f"{who} sent a result without payload")
    if payload.get("errors"):
        raise failure_of(payload["errors"], who)
    return payload.get("data")


def failure_of(found: Any, who: str) -> LmosError:
    """A list of GraphQL errors as the error that was meant, by its code where it has ours."""
    errors = found if isinstance(found, list) else [found]
    first = errors[0] if errors and isinstance(errors[0], dict) else {}
    extensions = first.get("extensions")
    known = extensions if isinstance(extensions, dict) else {}
    message = str(first.get("message") or "no reason given")
    cls = code_to_error(str(known.get("code")))
    if cls is LmosError:
        return AgentFailed(f"{who} failed: {message[:500]}")
    details = known.get("details")
    return cls.rebuilt(message, details if isinstance(details, dict) else {})
