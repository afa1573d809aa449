"""Whatever comes in badly gets the right 4xx, a code, and words that help."""

import io
import json
from typing import Any

import aiohttp
import pytest
from protocol_agents import echo
from protocol_servers import Serve

from lmos.model import Description
from lmos.protocols import a2a, http, lmos, openai

PATH = "/apis/v1/acme/chat/c-1/message"


def conversation(messages: Any, **more: Any) -> bytes:
    body = {"inputContext": {"messages": messages}, "systemContext": {"channelId": "web"}}
    return json.dumps(body | more).encode()


def one(content: Any, role: str = "user") -> list[dict[str, Any]]:
    return [{"role": role, "content": content}]


async def send(
    method: str, url: str, body: Any = None, **headers: str
) -> tuple[aiohttp.ClientResponse, Any]:
    """The response, with its body as JSON."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.session().request(
        method,
        url,
        data=data and io.BytesIO(data),  # aiohttp wants large bodies as files
        headers=named,
    ) as response:
        return response, await response.json(content_type=None)


CASES: dict[str, tuple[bytes, int, str, str]] = {
    "no body": (b"", 400, "INVALID_REQUEST", "empty"),
    "not JSON": (b'{"inputContext": ', 400, "INVALID_REQUEST", "line 1"),
    "not UTF-8": (b'{"inputContext": "\xff\xfe"}', 400, "INVALID_REQUEST", "UTF-8"),
    "a list": (b"[]", 400, "INVALID_REQUEST", "body"),
    "no messages": (conversation([]), 400, "INVALID_REQUEST", "no messages"),
    "null messages": (conversation(None), 400, "INVALID_REQUEST", "no messages"),
    "empty message": (conversation(one("")), 400, "INVALID_REQUEST", "empty"),
    "blank message": (conversation(one(" \n\t")), 400, "INVALID_REQUEST", "empty"),
    "unknown role": (conversation(one("x", "robot")), 400, "INVALID_REQUEST", "messages.0.role"),
    "content no text": (conversation(one(7)), 400, "INVALID_REQUEST", "messages.0.content"),
    "last not the user's": (conversation(one("x", "assistant")), 400, "INVALID_REQUEST", "last"),
    "no channel": (
        json.dumps({"inputContext": {"messages": one("x")}}).encode(),
        400,
        "INVALID_REQUEST",
        "systemContext",
    ),
    "empty channel": (
        conversation(one("x"), systemContext={"channelId": ""}),
        400,
        "INVALID_REQUEST",
        "channelId",
    ),
    "1 MB message": (conversation(one("x" * 1_000_000)), 413, "REQUEST_TOO_LARGE", "100000"),
    "long message": (conversation(one("x" * 100_001)), 413, "REQUEST_TOO_LARGE", "100000"),
    "3 MB body": (conversation(one("x" * 3_000_000)), 413, "REQUEST_TOO_LARGE", "1048576"),
    "many messages": (conversation(one("x") * 201), 413, "REQUEST_TOO_LARGE", "200"),
    "deep nesting": (b'{"inputContext":' * 2000 + b"1" + b"}" * 2000, 400, "INVALID_REQUEST", ""),
}


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
@pytest.mark.parametrize("case", CASES)
async def test_rest_says_what_is_wrong(serve: Serve, case: str, accept: str) -> None:
    body, status, code, words = CASES[case]
    url = await serve(lmos.chat_routes(echo))
    response, found = await send("POST", url + PATH, body, accept=accept)
    assert response.status == status
    assert response.content_type == "application/problem+json"
    assert (found["errorCode"], found["status"]) == (code, status)
    assert words in found["message"]
    assert len(found["message"]) < 1000


async def test_messages_at_the_limits_are_answered(serve: Serve) -> None:
    url = await serve(lmos.chat_routes(echo))
    for messages in (one("x" * 100_000), one("x") * 200):
        response, _ = await send("POST", url + PATH, conversation(messages))
        assert response.status == 200


async def test_the_content_type_does_not_matter(serve: Serve) -> None:
    url = await serve(lmos.chat_routes(echo))
    body = conversation(one("x"))
    response, _ = await send("POST", url + PATH, body, content_type="text/plain")
    assert response.status == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_wrong_method_names_the_right_one(serve: Serve, method: str) -> None:
    url = await serve(lmos.chat_routes(echo))
    response, found = await send(method, url + PATH)
    assert response.status == 405
    assert response.headers["allow"] == "POST"
    assert found["errorCode"] == "METHOD_NOT_ALLOWED"


async def test_a_wrong_path_is_a_problem_too(serve: Serve) -> None:
    url = await serve(lmos.chat_routes(echo))
    response, found = await send("GET", url + "/nowhere")
    assert (response.status, found["errorCode"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("header", ["x-turn-id", "x-subset"])
async def test_names_in_headers_have_a_limit(serve: Serve, header: str) -> None:
    url = await serve(lmos.chat_routes(echo))
    response, _ = await send("POST", url + PATH, conversation(one("x")), **{header: "x" * 300})
    assert response.status == 400


OPENAI_CASES: dict[str, tuple[Any, int, str]] = {
    "not JSON": (b"{", 400, "invalid_request_error"),
    "no model": ({"messages": one("x")}, 400, "invalid_request_error"),
    "unknown model": ({"model": "gpt", "messages": one("x")}, 404, "invalid_request_error"),
    "no messages": ({"model": "echo", "messages": []}, 400, "invalid_request_error"),
    "unknown role": ({"model": "echo", "messages": one("x", "tool")}, 400, "invalid_request_error"),
    "two answers": ({"model": "echo", "messages": one("x"), "n": 2}, 400, "invalid_request_error"),
    "unknown part": (
        {"model": "echo", "messages": one([{"type": "smell"}])},
        400,
        "invalid_request_error",
    ),
    "1 MB message": (
        {"model": "echo", "messages": one("x" * 1_000_000)},
        413,
        "invalid_request_error",
    ),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("case", OPENAI_CASES)
async def test_openai_errors_have_its_shape(serve: Serve, case: str, stream: bool) -> None:
    body, status, kind = OPENAI_CASES[case]
    body = body if isinstance(body, bytes) else body | {"stream": stream}
    url = await serve(openai.routes(openai.single("echo", echo)))
    response, found = await send("POST", f"{url}/v1/chat/completions", body)
    assert response.status == status
    error = found["error"]
    assert error["type"] == kind
    assert error["message"]


RPC = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage"}
MESSAGE = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hi"}]}
A2A_CASES: dict[str, tuple[Any, int]] = {
    "not JSON": (b"{", -32700),
    "not UTF-8": (b'{"jsonrpc":"2.0","method":"\xff"}', -32700),
    "a batch": ([RPC], -32600),
    "no version": ({"id": 1, "method": "SendMessage"}, -32600),
    "no method": ({"jsonrpc": "2.0", "id": 1}, -32600),
    "bad id": ({"jsonrpc": "2.0", "id": True, "method": "GetTask"}, -32600),
    "unknown method": ({**RPC, "method": "message/send"}, -32601),
    "no params": (RPC, -32602),
    "params a list": ({**RPC, "params": [1]}, -32602),
    "no parts": ({**RPC, "params": {"message": MESSAGE | {"parts": []}}}, -32602),
    "empty text": ({**RPC, "params": {"message": MESSAGE | {"parts": [{"text": ""}]}}}, -32602),
    "agent's role": ({**RPC, "params": {"message": MESSAGE | {"role": "ROLE_AGENT"}}}, -32602),
    "no message id": ({**RPC, "params": {"message": MESSAGE | {"messageId": ""}}}, -32602),
    "1 MB message": (
        {**RPC, "params": {"message": MESSAGE | {"parts": [{"text": "x" * 1_000_000}]}}},
        -32602,
    ),
    "unknown task": ({**RPC, "params": {"message": MESSAGE | {"taskId": "nope"}}}, -32001),
    "bad turn": (
        {
            **RPC,
            "params": {"message": MESSAGE | {"metadata": {a2a.EXTENSION: {"turn": {"x": 1}}}}},
        },
        -32602,
    ),
    "get unknown": ({**RPC, "method": "GetTask", "params": {"id": "nope"}}, -32001),
    "cancel without id": ({**RPC, "method": "CancelTask"}, -32602),
    "push": ({**RPC, "method": "CreateTaskPushNotificationConfig"}, -32003),
    "list": ({**RPC, "method": "ListTasks"}, -32004),
}


@pytest.mark.parametrize("method", ["SendMessage", "SendStreamingMessage"])
@pytest.mark.parametrize("case", A2A_CASES)
async def test_a2a_errors_are_json_rpc_errors(serve: Serve, case: str, method: str) -> None:
    body, code = A2A_CASES[case]
    if isinstance(body, dict) and body.get("method") == "SendMessage":
        body = body | {"method": method}
    url = await serve(a2a.routes(echo, Description(name="echo")))
    response, found = await send("POST", f"{url}/a2a", body)
    assert response.status == 200
    error = found["error"]
    assert error["code"] == code
    assert error["message"]
    assert error["data"][0]["reason"]


async def test_a2a_refuses_other_versions(serve: Serve) -> None:
    url = await serve(a2a.routes(echo, Description(name="echo")))
    body = {**RPC, "params": {"message": MESSAGE}}
    _, found = await send("POST", f"{url}/a2a", body, a2a_version="0.3")
    assert found["error"]["code"] == -32009
    body = {"message": MESSAGE}
    response, found = await send("POST", f"{url}/a2a/message:send", body, a2a_version="2.0")
    assert response.status == 400
    assert found["error"]["details"][0]["reason"] == "VERSION_NOT_SUPPORTED"


@pytest.mark.parametrize("path", ["message:send", "message:stream"])
async def test_a2a_rest_errors_have_a_status(serve: Serve, path: str) -> None:
    url = await serve(a2a.routes(echo, Description(name="echo")))
    response, _ = await send("POST", f"{url}/a2a/{path}", b"{")
    assert response.status == 400
    huge = {"message": MESSAGE | {"parts": [{"text": "x" * 200_000}]}}
    response, _ = await send("POST", f"{url}/a2a/{path}", huge)
    assert response.status == 413


@pytest.mark.parametrize(("method", "path"), [("GET", "nope"), ("POST", "nope:cancel")])
async def test_an_unknown_task_is_404(serve: Serve, method: str, path: str) -> None:
    url = await serve(a2a.routes(echo, Description(name="echo")))
    response, found = await send(method, f"{url}/a2a/tasks/{path}")
    assert (response.status, found["error"]["status"]) == (404, "NOT_FOUND")
