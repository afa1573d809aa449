"""An agent that an MCP server offers as a tool, as a responder."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from lmos.model import (
    TERMINAL,
    TURN_EVENT,
    Answer,
    BinaryData,
    Done,
    Handover,
    InputRequired,
    Message,
    Responder,
    Started,
    StatusUpdate,
    Turn,
    TurnEvent,
    Usage,
)
from lmos.model.errors import AgentFailed, NotFound, code_to_error
from lmos.protocols.answering import answered, found_already
from lmos.protocols.mcp import codec
from lmos.protocols.mcp.client import connect
from lmos.protocols.mcp.offer import Result
from lmos.protocols.mcp.remote import RemoteTool, Server

#: Seconds that a turn may take.
TIMEOUT = 600.0


def responder(server: Server | str, *, tool: str = "") -> Responder:
    """Answers turns by calling a tool of the server that takes what a user says.

    The URL's fragment names the tool where `tool` does not; a server with one agent needs neither.
    A tool that knows `EXTENSION` gets the whole turn and gives its events as they are; another gets
    the user's new message and the conversation's id, and its progress is told as status.
    """
    if isinstance(server, str):
        url, _, named = server.partition("#")
        server, tool = Server.of(url, timeout=TIMEOUT), tool or named
    remote = _Remote(server, tool)

    def respond(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        return answered(remote.ask, turn, agent=tool or "lmos")

    return respond


class _Remote:
    def __init__(self, server: Server, tool: str) -> None:
        self._server = server
        self._name = tool

    async def ask(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        """The answer's events; raises where it fails."""
        connection = connect(self._server)
        tool = _chosen(await connection.tools(), self._name, self._server.who)
        extended = codec.EXTENSION in tool.meta
        already = "" if extended else found_already(turn)
        text = f"{already}\n\n{turn.text}" if already else turn.text
        arguments = codec.ask_arguments(tool.name, tool.schema, text, turn.conversation_id)
        meta = {codec.EXTENSION: turn.wire()} if extended else dict(turn.trace)
        queue: asyncio.Queue[Mapping[str, Any] | None] = asyncio.Queue()
        calling = asyncio.ensure_future(
            connection.call(tool.name, arguments, meta=meta, progress=queue.put_nowait)
        )
        calling.add_done_callback(lambda _: queue.put_nowait(None))
        ended = False
        try:
            if not extended:
                yield Started(agent=str(tool.meta.get("agent") or tool.name))
            while (progress := await queue.get()) is not None:
                event = _event(progress, extended)
                ended = ended or isinstance(event, TERMINAL)
                if event is not None:
                    yield event
            for event in _ending(await calling, tool, self._server.who) if not ended else ():
                yield event
        finally:
            calling.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait([calling])


def _chosen(tools: tuple[RemoteTool, ...], name: str, who: str) -> RemoteTool:
    """The tool of that name, else the only agent."""
    if name:
        found = next((tool for tool in tools if tool.name == name), None)
        if found is None:
            there = ", ".join(tool.name for tool in tools) or "none"
            raise NotFound(f"{who} has no tool {name!r}; it has {there}")
        return found
    agents = [tool for tool in tools if codec.EXTENSION in tool.meta] or list(tools)
    if len(agents) != 1:
        there = ", ".join(tool.name for tool in agents) or "none"
        raise NotFound(f"{who} has {len(agents)} tools that may be meant ({there}); name one")
    return agents[0]


def _event(progress: Mapping[str, Any], extended: bool) -> TurnEvent | None:
    """The event that a progress notification tells; None for one of a type that is not known."""
    if not extended:
        text = progress.get("message")
        return StatusUpdate(text=text) if text else None
    carried = (progress.get("_meta") or {}).get(codec.EXTENSION)
    try:
        return TURN_EVENT.validate_python(carried)
    except ValidationError as error:
        if all(e["type"] in ("union_tag_invalid", "model_attributes_type") for e in error.errors()):
            return None
        raise AgentFailed("the agent sent an event that cannot be read") from None


def _ending(result: Result, tool: RemoteTool, who: str) -> list[TurnEvent]:
    """The events that end a turn whose tool gave the result."""
    structured = result.structured or {}
    text = codec.texts_of(block for block in result.content if isinstance(block, str))
    if result.failed:
        kind = code_to_error(str(structured.get("errorCode") or ""))
        raise (AgentFailed if kind.__name__ == "LmosError" else kind).rebuilt(
            f"{who}: {tool.name} failed: {text}" if text else f"{who}: {tool.name} failed", {}
        )
    if codec.EXTENSION in tool.meta and isinstance(structured.get("answer"), str):
        return _structured_ending(structured)
    binaries = tuple(block for block in result.content if isinstance(block, BinaryData))
    if not text and not binaries:
        raise AgentFailed(f"{who}: {tool.name} answered nothing")
    message = Message(role="assistant", content=text, binary_data=binaries)
    return [Answer(message=message), Done(usage=Usage(model=tool.name, requests=1))]


def _structured_ending(structured: Mapping[str, Any]) -> list[TurnEvent]:
    message = Message(role="assistant", content=structured["answer"])
    context = structured.get("context") or {}
    match structured.get("status"):
        case "input_required":
            return [InputRequired(message=message, context=context)]
        case "handover":
            return [Handover.model_validate(structured.get("handover") or {})]
    usage = Usage.model_validate(structured.get("usage") or {})
    return [Answer(message=message, context=context), Done(usage=usage)]
