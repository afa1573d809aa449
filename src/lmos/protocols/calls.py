"""Asking others over HTTP, with every way it can go wrong told as one of our errors.

A request is sent again only when a pooled connection turns out to have been closed by the
other side before anything was answered; else a turn could run twice.
"""

import asyncio
import io
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from lmos.model import STABLE, Turn
from lmos.model.errors import AgentFailed, AgentUnavailable, LmosError, Overloaded
from lmos.protocols import http, limits
from lmos.protocols.answering import remaining

if TYPE_CHECKING:
    import aiohttp

#: Bytes that a document (a card, an answer that is not streamed) may have.
DOCUMENT_LIMIT = 1024 * 1024
#: Seconds that a document may take, and that a stream may be silent.
DOCUMENT_TIME, SILENCE = 5.0, 300.0
#: Seconds that a stream may stay open after its last event before its connection is given up.
LINGER = 0.2

EVENT_STREAM = "text/event-stream"
#: Bytes from which aiohttp wants a body as a file.
_LARGE = 1024 * 1024


def turn_headers(turn: Turn) -> dict[str, str]:
    """What is told beside every turn: its trace, its subset, how many seconds are left, and on
    whose authority it is asked.
    """
    headers = dict(turn.trace)
    if turn.authorization:
        headers["authorization"] = f"Bearer {turn.authorization}"
    if turn.subset != STABLE:
        headers["x-subset"] = turn.subset
    if turn.deadline is not None:
        headers[limits.TIMEOUT] = f"{max(remaining(turn.deadline), 0.001):.3f}"
    return headers


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP answer that is not a success. `body` is its JSON, or empty."""

    who: str
    status: int
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def message(self) -> str:
        """What the other side says is wrong, empty when it does not."""
        error = self.body.get("error")
        found = error.get("message") if isinstance(error, dict) else error
        for text in (self.body.get("message"), self.body.get("detail"), found):
            if isinstance(text, str) and text:
                return text[:500]
        return ""

    @property
    def retry_after(self) -> float:
        """Seconds to wait, where it says so; else 1."""
        text = self.headers.get("retry-after", "")
        return float(text) if text.isdecimal() else 1.0


def agent_error(refusal: Refusal) -> LmosError:
    """The refusal of an agent, for whoever asked it on somebody's behalf."""
    said = f": {refusal.message}" if refusal.message else ""
    text = f"{refusal.who} answered with HTTP {refusal.status}{said}"
    if refusal.status == 429:
        return Overloaded(text, retry_after=refusal.retry_after)
    if refusal.status == 503:
        return AgentUnavailable(text)
    return AgentFailed(text, status=refusal.status)


@asynccontextmanager
async def request(
    method: str,
    url: str,
    *,
    who: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    refused: Callable[[Refusal], LmosError] = agent_error,
    silence: float = SILENCE,
) -> "AsyncGenerator[aiohttp.ClientResponse, None]":
    """The successful response, to be read inside the block.

    `who` names the other side in messages. `AgentUnavailable` when it cannot be reached, what
    `refused` makes of it when it does not answer with 2xx, `AgentFailed` when it breaks off.
    """
    import aiohttp

    try:
        response = await _send(method, url, body, headers or {}, silence)
        async with response:
            if not 200 <= response.status < 300:
                raise refused(await _refusal(response, who))
            yield response
    except aiohttp.ClientConnectorError as error:
        raise AgentUnavailable(f"{who} cannot be reached: {error.os_error}") from None
    except aiohttp.InvalidURL:
        raise AgentUnavailable(f"{who} cannot be reached: {url!r} is not an address") from None
    except aiohttp.ServerDisconnectedError:
        raise AgentUnavailable(f"{who} closed the connection without an answer") from None
    except TimeoutError:
        raise AgentFailed(f"{who} was silent for too long") from None
    except aiohttp.ClientPayloadError:
        raise AgentFailed(f"{who} broke off in the middle of its answer") from None
    except aiohttp.ClientError as error:
        raise AgentFailed(f"{who} broke off: {error}") from None


async def _send(
    method: str, url: str, body: Any, headers: Mapping[str, str], silence: float
) -> "aiohttp.ClientResponse":
    import aiohttp

    data = None if body is None else orjson.dumps(body)
    if data is not None:
        headers = {"content-type": "application/json", **headers}
    timeout = _timeout(silence)

    def attempt() -> "Awaitable[aiohttp.ClientResponse]":
        return http.session().request(
            method,
            url,
            data=data if data is None or len(data) < _LARGE else io.BytesIO(data),
            headers=headers,
            allow_redirects=False,
            timeout=timeout,
        )

    while True:  # a process that has ended leaves as many stale connections as the pool had of it
        http.REUSED.set(False)
        try:
            return await attempt()
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if not http.REUSED.get():
                raise


@lru_cache
def _timeout(silence: float) -> "aiohttp.ClientTimeout":
    import aiohttp

    return aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=silence)


async def _refusal(response: "aiohttp.ClientResponse", who: str) -> Refusal:
    try:
        body = orjson.loads(await read(response, who))
    except (orjson.JSONDecodeError, AgentFailed):
        body = {}
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Refusal(who, response.status, headers, body if isinstance(body, dict) else {})


async def finish(response: "aiohttp.ClientResponse") -> None:
    """Reads the end of a stream that has said all, so that its connection can be used again."""
    if response.content.at_eof():
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER):
            while not response.content.at_eof():
                await response.content.readany()


async def read(response: "aiohttp.ClientResponse", who: str, limit: int = DOCUMENT_LIMIT) -> bytes:
    """The whole body; `AgentFailed` when it is larger than `limit` bytes."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise AgentFailed(f"{who} sent more than {limit} bytes")
    return bytes(body)


async def read_object(response: "aiohttp.ClientResponse", who: str) -> dict[str, Any]:
    """The body as a JSON object; `AgentFailed` when it is none."""
    try:
        found = orjson.loads(await read(response, who))
    except orjson.JSONDecodeError as error:
        raise AgentFailed(f"{who} sent what is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise AgentFailed(f"{who} sent a JSON {type(found).__name__} instead of an object")
    return found


async def document(url: str, who: str) -> dict[str, Any]:
    """The JSON object at the URL, within `DOCUMENT_TIME` and `DOCUMENT_LIMIT`."""
    try:
        async with asyncio.timeout(DOCUMENT_TIME), request("GET", url, who=who) as response:
            return await read_object(response, who)
    except TimeoutError:
        raise AgentUnavailable(f"{who} took longer than {DOCUMENT_TIME:g} s") from None
