"""The example platform from outside: its answers, over every protocol, and bad input."""

import asyncio
import http.client
import json
import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import openai
import pytest


def test_the_right_agent_answers_and_the_conversation_is_coherent(acme: Any) -> None:
    first = acme.ask("how much do I owe you?", "bill")
    assert first["agent"] == "billing-agent"
    assert first["content"].startswith("Your latest bill is 42.50 EUR, due on 1 December 2026.")
    assert first["decision"]["outcome"] == "route"
    second = acme.ask("and the month before?", "bill")
    assert (second["agent"], "37.95 EUR" in second["content"]) == ("billing-agent", True)
    third = acme.ask("where is the nearest shop?", "bill")
    assert (third["agent"], third["inputRequired"]) == ("store-agent", True)
    assert "Marktplatz 3" in acme.ask("in Bonn", "bill")["content"]


def test_what_has_consequences_is_confirmed_and_can_be_left(acme: Any) -> None:
    asked = acme.ask("please cancel my contract", "quit")
    assert "Do you really want to cancel it?" in asked["content"]
    assert "changed nothing" in acme.ask("no", "quit")["content"]
    acme.ask("please cancel my contract", "quit2")
    assert "is cancelled and ends on 30 June 2027" in acme.ask("yes please", "quit2")["content"]


def test_an_order_is_tracked_and_cancelled_by_what_was_spoken_of(acme: Any) -> None:
    acme.ask("where are my orders?", "order")
    assert acme.ask("4712", "order")["content"].startswith("Order 4712, headphones")
    assert "cancel order 4712" in acme.ask("cancel it", "order")["content"]
    assert "Order 4712 is cancelled" in acme.ask("yes", "order")["content"]


def test_tenants_see_their_own_data_and_channels_speak_their_way(acme: Any) -> None:
    ours = acme.ask("how much do I owe?", "same-id")["content"]
    theirs = acme.ask("how much do I owe?", "same-id", "globex/web")["content"]
    assert ("42.50 EUR" in ours, "18.00 USD" in theirs) == (True, True)
    assert "portal" not in acme.ask("how much do I owe?", "x", "acme/ivr")["content"]
    assert "61.20 EUR" in acme.ask("how much do I owe?", "other", user="a-1002")["content"]
    foreign = acme.ask("how much do I owe?", "foreign", "globex/web", user="a-1002")["content"]
    assert "61.20" not in foreign


def test_what_nobody_offers_is_declined_with_what_there_is(acme: Any) -> None:
    answer = acme.ask("who won the world cup?", "oos")
    assert (answer["agent"], answer["decision"]["outcome"]) == ("lmos", "out_of_scope")
    assert "Bills, payments and invoices" in answer["content"]


async def test_a_turn_streams_as_server_sent_events(acme: Any) -> None:
    body = {
        "inputContext": {"messages": [{"role": "user", "content": "how much do I owe?"}]},
        "systemContext": {"channelId": "web"},
    }
    headers = {"Accept": "text/event-stream"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{acme.url}/apis/v1/acme/chat/sse/message", json=body, headers=headers
        ) as response,
    ):
        assert response.content_type == "text/event-stream"
        lines = (await response.text()).splitlines()
    kinds = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert kinds[:2] == ["started", "decision"]
    assert {"tool_call", "tool_result", "text_delta", "message"} <= set(kinds)
    assert kinds[-1] == "done"


def test_the_official_openai_client(acme: Any) -> None:
    with openai.OpenAI(base_url=f"{acme.url}/v1", api_key="none", max_retries=0) as client:
        assert "acme/web" in [model.id for model in client.models.list()]
        messages: Any = [{"role": "user", "content": "how much do I owe?"}]
        whole = client.chat.completions.create(model="acme/web", messages=messages)
        assert "42.50 EUR" in str(whole.choices[0].message.content)
        chunks = client.chat.completions.create(model="acme/web", messages=messages, stream=True)
        pieces = [c.choices[0].delta.content or "" for c in chunks if c.choices]
        assert "".join(pieces) == whole.choices[0].message.content
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="acme/nowhere", messages=messages)


async def test_the_official_openai_client_async(acme: Any) -> None:
    async with openai.AsyncOpenAI(base_url=f"{acme.url}/v1", api_key="none") as client:
        messages: Any = [
            {"role": "user", "content": "how much do I owe?"},
            {"role": "assistant", "content": "Your latest bill is 42.50 EUR."},
            {"role": "user", "content": "and the month before?"},
        ]
        whole = await client.chat.completions.create(model="acme/web", messages=messages)
        assert "37.95" in str(whole.choices[0].message.content)
        stream = await client.chat.completions.create(
            model="acme/web", messages=messages, stream=True
        )
        assert "37.95" in "".join(
            [c.choices[0].delta.content or "" async for c in stream if c.choices]
        )


@pytest.mark.parametrize("face", ["agent", "channel"])
async def test_the_official_a2a_client(acme: Any, face: str) -> None:
    import httpx
    from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
    from a2a.types import Message, Part, Role, SendMessageRequest

    if face == "channel":
        base = f"{acme.url}/a2a/acme/web"
    else:
        items = acme.get("/apis/lmos.eclipse/v1/agents")["items"]
        base = next(a["spec"]["url"] for a in items if a["metadata"]["name"] == "billing-agent")
    async with httpx.AsyncClient(timeout=20) as http:
        card = await A2ACardResolver(http, base).get_agent_card()
        assert card.supported_interfaces[0].url.startswith(base)
        client = ClientFactory(ClientConfig(httpx_client=http)).create(card)
        message = Message(
            role=Role.ROLE_USER, message_id="m", parts=[Part(text="how much do I owe?")]
        )
        found = [str(r) async for r in client.send_message(SendMessageRequest(message=message))]
    assert any("42.50 EUR" in text for text in found)


def post(acme: Any, path: str, body: bytes, method: str = "POST") -> tuple[int, dict[str, Any]]:
    parts = urlsplit(acme.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def turn(content: Any = "hi", role: str = "user", count: int = 1) -> bytes:
    messages = [{"role": role, "content": content}] * count
    body = {"inputContext": {"messages": messages}, "systemContext": {"channelId": "web"}}
    return json.dumps(body).encode()


CHAT = "/apis/v1/acme/chat/c/message"


@pytest.mark.parametrize(
    ("path", "body", "method", "status", "code"),
    [
        (CHAT.replace("acme", "nobody"), turn(), "POST", 404, "AGENT_NOT_FOUND"),
        (CHAT, turn().replace(b'"web"', b'"fax"'), "POST", 404, "AGENT_NOT_FOUND"),
        (CHAT, turn(""), "POST", 400, "INVALID_REQUEST"),
        (CHAT, turn(count=0), "POST", 400, "INVALID_REQUEST"),
        (CHAT, turn(count=5000), "POST", 413, "REQUEST_TOO_LARGE"),
        (CHAT, turn(role="wizard"), "POST", 400, "INVALID_REQUEST"),
        (CHAT, turn("x" * 1_048_576), "POST", 413, "REQUEST_TOO_LARGE"),
        (CHAT, b"{no json", "POST", 400, "INVALID_REQUEST"),
        (CHAT, b'{"inputContext": "\xff\xfe"}', "POST", 400, "INVALID_REQUEST"),
        (CHAT, b"[]", "POST", 400, "INVALID_REQUEST"),
        (CHAT, turn(), "PUT", 405, "METHOD_NOT_ALLOWED"),
        ("/apis/v1/tenants/acme/channels/web/decision", b"{}", "POST", 400, "INVALID_REQUEST"),
        ("/apis/v1/agents", b"", "GET", 400, "INVALID_REQUEST"),
    ],
)
def test_bad_input_is_told_with_status_code_and_problem_details(
    acme: Any, path: str, body: bytes, method: str, status: int, code: str
) -> None:
    found, problem = post(acme, path, body, method)
    assert (found, problem["errorCode"], problem["status"]) == (status, code, status)
    assert problem["message"]
    assert {"type", "title", "detail"} <= problem.keys()


def test_an_unknown_agent_is_404_and_a_known_one_is_honoured(acme: Any) -> None:
    body = json.loads(turn("how much do I owe?"))
    body["inputContext"]["explicitAgent"] = "nobody"
    status, problem = post(acme, CHAT, json.dumps(body).encode())
    assert (status, problem["errorCode"]) == (404, "AGENT_NOT_FOUND")
    assert "billing-agent" in problem["message"]
    body["inputContext"]["explicitAgent"] = "store-agent"
    assert post(acme, CHAT, json.dumps(body).encode())[1]["agent"] == "store-agent"


def test_the_operators_and_the_runtimes_listings(acme: Any) -> None:
    channels = acme.get("/apis/v1/tenants/acme/channels")
    names = {c["metadata"]["labels"]["channel"]: c["status"]["resolveStatus"] for c in channels}
    assert names == {"web": "RESOLVED", "mobile": "RESOLVED", "ivr": "UNRESOLVED"}
    routing = acme.get("/apis/v1/tenants/acme/channels/web/routing")
    assert len(routing["spec"]["capabilityGroups"]) == 6
    agents = acme.get("/apis/v1/agents?tenantId=acme&channelId=web")
    assert len(agents["agents"]) == 6
    (missing,) = next(c for c in channels if c["metadata"]["labels"]["channel"] == "ivr")["status"][
        "unresolvedRequiredCapabilities"
    ]
    assert missing["message"].endswith("nearest: contract-agent 1.0.3")


def lmos(acme: Any, *arguments: str, stdin: str = "") -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "lmos", *arguments, "--url", acme.url],
        capture_output=True, text=True, timeout=60, check=False, input=stdin,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_commands_against_the_platform(acme: Any) -> None:
    assert "billing-agent" in lmos(acme, "ask", "acme/web", "how much do I owe you?")
    told = json.loads(lmos(acme, "ask", "how much do I owe you?", "-o", "json"))
    assert (told["agent"], told["context"]["useCase"]) == ("billing-agent", "view_bill")
    assert "view_bill" in lmos(acme, "explain", "acme/web", "how much do I owe you?")
    assert "contract-agent 1.0.3" in lmos(acme, "get", "channels")
    assert len(json.loads(lmos(acme, "get", "agents", "-o", "json"))["items"]) == 6
    assert "acme-web-stable" in lmos(acme, "get", "routings")
    chat = lmos(acme, "chat", "acme/web", stdin="how much do I owe?\nand the month before?\n\n")
    assert chat.index("billing-agent 1.00") < chat.index("42.50 EUR") < chat.index("37.95 EUR")


async def test_turns_at_once_stay_apart(acme: Any) -> None:
    async def one(number: int) -> None:
        tenant = ("acme", "globex")[number % 2]
        answer = await asyncio.to_thread(
            acme.ask, "how much do I owe?", f"many-{number}", f"{tenant}/web"
        )
        assert ("EUR" if tenant == "acme" else "USD") in answer["content"]

    await asyncio.gather(*(one(number) for number in range(24)))
