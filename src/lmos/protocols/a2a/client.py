"""An A2A agent at a URL as a responder."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from lmos.model import (
    TERMINAL,
    TURN_EVENT,
    InputRequired,
    Responder,
    Turn,
    TurnEvent,
)
from lmos.model.errors import AgentFailed, InvalidInput, LmosError
from lmos.protocols import calls, limits, sse
from lmos.protocols.a2a import card, codec
from lmos.protocols.a2a.card import Card
from lmos.protocols.a2a.foreign import Translator, Update
from lmos.protocols.answering import answered

#: Seconds for which a card is believed.
CARD_TIME = 300.0
#: Conversations whose context and waiting task in a foreign agent are remembered.
THREADS = 10_000


def responder(url: str) -> Responder:
    """Answers turns by asking the agent whose card is at the base URL, streamed where it streams.

    The card is read with the first turn. An agent that knows `EXTENSION` gets the whole turn and
    gives its events as they are; another gets the user's new message and the conversation's id.
    """
    return _Remote(url.rstrip("/")).respond


@dataclass(frozen=True, slots=True)
class _Thread:
    """Where a conversation stands in a foreign agent."""

    context_id: str
    task_id: str | None


@dataclass(frozen=True, slots=True)
class _Asked:
    """What an agent is sent, and how the updates that it answers with become events."""

    params: dict[str, Any]
    read: Callable[[dict[str, Any]], Iterator[TurnEvent]]


class _Remote:
    def __init__(self, url: str) -> None:
        self._who = f"the agent at {url}"
        self._url = url
        self._card: Card | None = None
        self._read_at = 0.0
        self._threads: OrderedDict[tuple[str, str, str], _Thread] = OrderedDict()

    def respond(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        """Answers the turn."""
        return answered(self._ask, turn, agent=self._card.name if self._card else "lmos")

    async def _ask(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        try:
            agent = await self._agent()
            asked = self._extended(turn) if agent.extended else self._foreign(agent, turn)
            async with aclosing(self._updates(agent, turn, asked.params)) as updates:
                async for update in updates:
                    for event in asked.read(update):
                        yield event
        except LmosError:
            self._card = None  # it may have moved
            raise

    async def _agent(self) -> Card:
        now = asyncio.get_running_loop().time()
        if self._card is None or now - self._read_at > CARD_TIME:
            self._card, _ = await card.fetch(self._url)
            self._read_at = now
        return self._card

    def _extended(self, turn: Turn) -> "_Asked":
        return _Asked(codec.params_of(turn, extended=True), _carried)

    def _foreign(self, agent: Card, turn: Turn) -> "_Asked":
        key = (turn.tenant, turn.channel, turn.conversation_id)
        thread = self._threads.pop(key, _Thread(turn.conversation_id, None))
        told = turn.but(conversation_id=thread.context_id)
        translator = Translator(agent.name, agent.version)

        def read(update: dict[str, Any]) -> Iterator[TurnEvent]:
            for event in translator.read(_update(update, self._who)):
                if isinstance(event, TERMINAL):
                    self._remember(key, translator, isinstance(event, InputRequired))
                yield event

        params = codec.params_of(told, extended=False, task_id=thread.task_id)
        return _Asked(params, read)

    def _remember(self, key: tuple[str, str, str], translator: Translator, waiting: bool) -> None:
        context_id = translator.context_id or key[2]
        if not waiting and context_id == key[2]:
            return
        self._threads[key] = _Thread(context_id, translator.waiting_task if waiting else None)
        while len(self._threads) > THREADS:
            self._threads.popitem(last=False)

    async def _updates(
        self, agent: Card, turn: Turn, params: dict[str, Any]
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The agent's StreamResponses, in whichever binding; one when it does not stream."""
        place = agent.interface()
        rpc = place.protocol_binding.upper() == card.JSONRPC
        url, body = _call(place.url, params, turn, rpc=rpc, stream=agent.streams)
        headers = _headers(turn, agent)
        async with calls.request(
            "POST", url, who=self._who, body=body, headers=headers
        ) as response:
            if response.content_type != calls.EVENT_STREAM:
                yield _result(await calls.read(response, self._who), rpc, self._who)
                return
            parser = sse.Parser()
            async for chunk in response.content.iter_any():
                for event in parser.read(chunk):
                    update = _result(event.data, rpc, self._who)
                    if _ends(update):
                        await calls.finish(response)
                    yield update


def _call(
    url: str, params: dict[str, Any], turn: Turn, *, rpc: bool, stream: bool
) -> tuple[str, dict[str, Any]]:
    """Where to post, and what."""
    if not rpc:
        return f"{url.rstrip('/')}/message:{'stream' if stream else 'send'}", params
    method = "SendStreamingMessage" if stream else "SendMessage"
    return url, {"jsonrpc": "2.0", "id": turn.turn_id, "method": method, "params": params}


def _headers(turn: Turn, agent: Card) -> dict[str, str]:
    headers = {"a2a-version": "1.0", **calls.turn_headers(turn)}
    headers["accept"] = calls.EVENT_STREAM if agent.streams else "application/json"
    if agent.extended:
        headers["a2a-extensions"] = codec.EXTENSION
    return headers


def _result(data: bytes, rpc: bool, who: str) -> dict[str, Any]:
    """What an answer or an event of the stream holds; `AgentFailed` for errors and nonsense."""
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise AgentFailed(f"{who} sent what is not JSON: {error}") from None
    if isinstance(found, dict) and isinstance(found.get("error"), dict):
        raise AgentFailed(f"{who} answered with an error: {found['error'].get('message', '')}")
    result = found.get("result") if rpc and isinstance(found, dict) else found
    if not isinstance(result, dict):
        raise AgentFailed(f"{who} sent what is not a response of A2A")
    return result


def _ends(update: dict[str, Any]) -> bool:
    """Whether nothing comes after the update."""
    holder = update.get("statusUpdate") or update.get("task") or {}
    status = holder.get("status") if isinstance(holder, dict) else None
    state = status.get("state") if isinstance(status, dict) else None
    return "message" in update or state in codec.ENDED or state == codec.INPUT_REQUIRED


def _carried(update: dict[str, Any]) -> Iterator[TurnEvent]:
    """The events in the extension's metadata; those of an unknown type are left out."""
    for holder in update.values():
        metadata = holder.get("metadata") if isinstance(holder, dict) else None
        carried = metadata.get(codec.EXTENSION) if isinstance(metadata, dict) else None
        if not isinstance(carried, dict):
            continue
        found = [carried["event"]] if "event" in carried else carried.get("events", [])
        for event in found if isinstance(found, list) else []:
            try:
                yield TURN_EVENT.validate_python(event)
            except ValidationError as error:
                if all(e["type"] != "union_tag_invalid" for e in error.errors()):
                    raise AgentFailed("the agent sent an event that cannot be read") from None


def _update(update: dict[str, Any], who: str) -> Update:
    try:
        return limits.parsed(Update, update)
    except InvalidInput as error:
        raise AgentFailed(f"{who} sent what is not a response of A2A: {error}") from None
