"""An agent behind AG-UI as a responder."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from uuid import uuid4

from lmos.model import TERMINAL, Message, Responder, Turn, TurnEvent
from lmos.model.errors import AgentFailed
from lmos.protocols import calls, sse
from lmos.protocols.agui import names
from lmos.protocols.agui.translator import Translator
from lmos.protocols.answering import answered

#: What we speak of the protocol.
VERSION = "1.0"


def responder(url: str, agent: str = "") -> Responder:
    """Answers turns by running the agent at the URL, which is asked by POST as it stands. `agent`
    is what it is called where it does not say so. The whole history is sent.
    """
    who, name = f"the agent at {url}", agent or "lmos"

    async def ask(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        translator = Translator(name, who)
        async with (
            calls.request("POST", url, who=who, body=input_of(turn), headers=_headers(turn)) as r,
            aclosing(sse.parse(r.content.iter_any())) as events,
        ):
            async for event in events:
                for found in translator.read(event.data):
                    if isinstance(found, TERMINAL):
                        await calls.finish(r)
                    yield found
                    if isinstance(found, TERMINAL):
                        return
        raise AgentFailed(f"{who} broke off in the middle of its answer")

    def respond(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        return answered(ask, turn, agent=name)

    return respond


def _headers(turn: Turn) -> dict[str, str]:
    return {"accept": calls.EVENT_STREAM, **calls.turn_headers(turn)}


def input_of(turn: Turn) -> dict[str, Any]:
    """The turn as the run that it asks for."""
    forwarded = {**turn.system_context, **({names.USER: turn.user.id} if turn.user.id else {})}
    return {
        "threadId": turn.conversation_id,
        "runId": turn.turn_id,
        "protocolVersion": VERSION,
        "messages": [_message(message) for message in turn.messages],
        "tools": [],
        "context": [],
        "state": {},
        "forwardedProps": forwarded,
    }


def _message(message: Message) -> dict[str, Any]:
    """The message, with an id of its own: nobody refers to it."""
    content: Any = message.content
    if message.binary_data and message.role == "user":
        text = [{"type": "text", "text": message.content}] if message.content else []
        content = [*text, *(_part(part.wire()) for part in message.binary_data)]
    return {"id": str(uuid4()), "role": message.role, "content": content}


def _part(binary: dict[str, Any]) -> dict[str, Any]:
    mime_type = binary["mimeType"]
    family = mime_type.partition("/")[0]
    kind = family if family in ("image", "audio", "video") else "document"
    if "dataAsBase64" in binary:
        source = {"type": "data", "value": binary["dataAsBase64"], "mimeType": mime_type}
    else:
        source = {"type": "url", "value": binary.get("source", ""), "mimeType": mime_type}
    return {"type": kind, "source": source}
