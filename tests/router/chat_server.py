"""A server on loopback that speaks OpenAI's and Anthropic's protocol and says what it is told to.

What it was sent is in `asked`: paths and bodies as they came over the wire.
"""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ChatServer(ThreadingHTTPServer):
    """Answers each request with the next reply, the last one for ever: data, or text as it is."""

    def __init__(self, *replies: Any) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies = list(replies)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [body for _, body in self.asked]

    def reply(self) -> Any:
        return self.replies[min(len(self.asked), len(self.replies)) - 1]


class _Handler(BaseHTTPRequestHandler):
    server: ChatServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, body))
        said = self.server.reply()
        if isinstance(said, int):
            return self._answer(said, {"error": {"message": "refused", "type": "refused"}})
        make = _anthropic if self.path.endswith("/messages") else _openai
        data = make(body, said)
        if body.get("stream"):
            return self._send(200, "text/event-stream", "".join(_streamed(data)))
        return self._answer(200, data)

    def _answer(self, status: int, data: Any) -> None:
        self._send(status, "application/json", json.dumps(data))

    def _send(self, status: int, kind: str, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _openai(body: dict[str, Any], said: Any) -> dict[str, Any]:
    """The completion; through the tool where one is offered."""
    text = said if isinstance(said, str) else json.dumps(said)
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if tools := body.get("tools"):
        function = {"name": tools[0]["function"]["name"], "arguments": text}
        call = {"id": "call-1", "type": "function", "function": function}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return {
        "id": "chat-1",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
    }


def _anthropic(body: dict[str, Any], said: Any) -> dict[str, Any]:
    """The message; through the tool where one is offered."""
    block: dict[str, Any] = {"type": "text", "text": said if isinstance(said, str) else ""}
    if not isinstance(said, str):
        block["text"] = json.dumps(said)
    if tools := body.get("tools"):
        block = {"type": "tool_use", "id": "toolu_1", "name": tools[0]["name"], "input": said}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [block],
        "stop_reason": "tool_use" if body.get("tools") else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1000, "output_tokens": 100},
    }


def _streamed(message: dict[str, Any]) -> Iterator[str]:
    """Anthropic's message of one text as the events of a stream."""
    (block,) = message["content"]
    text = {"type": "text_delta", "text": block["text"]}
    ending = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    events = [
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": text},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ending, "usage": message["usage"]},
        {"type": "message_stop"},
    ]
    for event in events:
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"


@contextlib.contextmanager
def answering(*replies: Any) -> Iterator[ChatServer]:
    """The server, running while it is used."""
    with ChatServer(*replies) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join()
