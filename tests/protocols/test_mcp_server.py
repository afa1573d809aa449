"""The official MCP client against our server: with sessions, without, in the newest revision."""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator
from io import BytesIO
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from mcp_parts import ADD, ASK, OFFER, Slow, agent, client_of, offer_of, served
from mcp_types import (
    EmptyResult,
    SubscribeRequest,
    SubscribeRequestParams,
    ToolListChangedNotification,
)
from protocol_agents import (
    Endless,
    Recording,
    asking,
    broken,
    failing_late,
    handing_over,
    rich,
)
from protocol_servers import app_of, serving

from lmos.model import Responder, Turn, User
from lmos.protocols import http
from lmos.protocols.mcp import EXTENSION, Face, Offer

#: (the server is stateless, how the client opens): sessions, no sessions, revision 2026-07-28.
WAYS = [(False, "legacy"), (True, "legacy"), (False, "auto"), (True, "auto")]
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
ACCEPT = {"accept": "application/json, text/event-stream"}


@pytest.fixture(autouse=True)
async def _session() -> AsyncGenerator[None, None]:
    yield
    await http.close_session()


async def post(url: str, body: Any, **headers: str) -> tuple[int, dict[str, str], str]:
    given = ACCEPT | {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.session().post(url, json=body, headers=given) as response:
        text = await response.text()
        return response.status, {k.lower(): v for k, v in response.headers.items()}, text


async def ask(client: Any, **arguments: Any) -> Any:
    return await client.call_tool(ASK, {"input": "my bill", **arguments})


# --- tools ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stateless", "mode"), WAYS)
async def test_a_tool_is_listed_and_called(stateless: bool, mode: str) -> None:
    async with served(Face(OFFER, stateless=stateless)) as url, client_of(url, mode) as client:
        modern = client.protocol_version == "2026-07-28"
        assert modern == (mode == "auto")
        tool = (await client.list_tools()).tools[0]
        result = await client.call_tool("add", {"a": 2, "b": 3})
    assert (tool.name, tool.title, tool.description) == ("add", "Adding", "Adds two numbers.")
    assert tool.input_schema == ADD.schema
    assert tool.output_schema == ADD.output
    assert tool.annotations is not None
    assert tool.annotations.read_only_hint is True
    assert tool.meta == {"version": "2.0.0"}
    assert result.structured_content == {"sum": 5}
    assert result.content[0].text == "5"


@pytest.mark.parametrize(
    ("tool", "arguments", "code", "words"),
    [
        ("fail", {}, "CONFLICT", "somebody else has the bill"),
        ("break", {}, "INTERNAL_SERVER_ERROR", "an internal error occurred in break"),
        ("add", {"a": 1}, "INVALID_REQUEST", "'b' is a required property"),
        ("add", {"a": 1, "b": "x"}, "INVALID_REQUEST", "add: b: 'x' is not of type 'integer'"),
    ],
)
async def test_a_failed_call_is_told_to_the_callers_model(
    tool: str, arguments: dict[str, Any], code: str, words: str
) -> None:
    async with served(Face(OFFER)) as url, client_of(url) as client:
        result = await client.call_tool(tool, arguments)
    assert result.is_error
    assert words in result.content[0].text
    assert "secret" not in result.content[0].text
    assert result.structured_content["errorCode"] == code


async def test_what_is_not_there_is_an_error_of_the_protocol() -> None:
    async with served(Face(OFFER)) as url, client_of(url, "legacy") as client:
        with pytest.raises(MCPError, match="there is no tool 'nope'"):
            await client.call_tool("nope", {})
        with pytest.raises(MCPError, match="there is no prompt 'nope'"):
            await client.get_prompt("nope")
        with pytest.raises(MCPError, match="there is no resource 'nope://x'"):
            await client.read_resource("nope://x")
        with pytest.raises(MCPError, match="there is no cursor"):
            await client.list_tools(cursor="-1")


async def test_prompts_and_resources() -> None:
    async with served(Face(OFFER)) as url, client_of(url) as client:
        (prompt,) = (await client.list_prompts()).prompts
        said = (await client.get_prompt("greet", {"name": "Ann"})).messages[0]
        with pytest.raises(MCPError, match="needs name"):
            await client.get_prompt("greet")
        (resource,) = (await client.list_resources()).resources
        (template,) = (await client.list_resource_templates()).resource_templates
        bill = (await client.read_resource("bill://7")).contents[0]
        logo = (await client.read_resource("logo://acme")).contents[0]
    assert [(a.name, a.required) for a in prompt.arguments] == [("name", True)]
    assert said.content.text == "Greet Ann."
    assert (resource.uri, template.uri_template) == ("logo://acme", "bill://{id}")
    assert (bill.text, logo.blob) == ("bill 7", "iVBORw==")


async def test_a_long_list_comes_in_pages() -> None:
    tools = [dataclasses.replace(ADD, name=f"add_{n}") for n in range(450)]
    async with served(Face(offer_of(*tools))) as url, client_of(url) as client:
        found, cursor = [], None
        while True:
            page = await client.list_tools(cursor=cursor)
            found += page.tools
            cursor = page.next_cursor
            if cursor is None:
                break
    assert [tool.name for tool in found] == [tool.name for tool in tools]


# --- agents ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stateless", "mode"), WAYS)
async def test_an_agent_is_a_tool_that_tells_what_it_does(stateless: bool, mode: str) -> None:
    told: list[tuple[float, str | None]] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        told.append((done, message))

    async with (
        served(Face(agent(rich), stateless=stateless)) as url,
        client_of(url, mode) as client,
    ):
        (tool,) = (await client.list_tools()).tools
        result = await client.call_tool(
            ASK, {"input": "my bill", "conversation": "c-7"}, progress_callback=progress
        )
    assert tool.name == ASK
    assert tool.description == 'Bills and payments.\n- Shows a bill. ("show me my bill")'
    assert tool.meta["version"] == "1.2.0"
    assert [done for done, _ in told] == [1, 2, 3, 4]
    assert [said for _, said in told] == ["looking", "Your bill ", "is 42.50 ", "EUR – paid."]
    answer = result.structured_content
    assert answer["answer"] == "Your bill is 42.50 EUR – paid.\n\nHere it is."
    assert (answer["agent"], answer["version"], answer["status"]) == ("rich", "2.0.0", "done")
    assert (answer["conversation"], answer["context"]) == ("c-7", {"bill": "7"})
    assert [block.type for block in result.content] == ["text", "image"]


async def test_a_conversation_begins_unless_one_is_named() -> None:
    asked = Recording(asking)
    async with served(Face(agent(asked))) as url, client_of(url) as client:
        first = (await ask(client)).structured_content
        assert (first["status"], first["answer"]) == ("input_required", "Which account?")
        assert first["context"] == {"wants": "account"}
        arguments = {"input": "12", "conversation": first["conversation"]}
        second = (await client.call_tool(ASK, arguments)).structured_content
        assert (second["status"], second["answer"]) == ("done", "account 12")
        await ask(client)
    ids = [turn.conversation_id for turn in asked.turns]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("responder", "code", "words"),
    [
        (failing_late, "AGENT_CLIENT_EXCEPTION", "the agent fell over"),
        (broken, "INTERNAL_SERVER_ERROR", "an internal error occurred"),
    ],
)
async def test_an_agent_that_fails(responder: Responder, code: str, words: str) -> None:
    async with served(Face(agent(responder))) as url, client_of(url) as client:
        result = await ask(client)
    assert result.is_error
    assert result.structured_content["errorCode"] == code
    assert words in result.content[0].text


async def test_an_agent_that_hands_over_says_to_whom() -> None:
    async with served(Face(agent(handing_over))) as url, client_of(url) as client:
        answer = (await ask(client)).structured_content
    assert answer["status"] == "handover"
    assert answer["handover"]["to"] == "billing-agent"


@pytest.mark.parametrize("arguments", [{"input": ""}, {"input": " "}, {}, {"input": 7}])
async def test_an_agent_wants_to_be_told_something(arguments: dict[str, Any]) -> None:
    async with served(Face(agent(rich))) as url, client_of(url) as client:
        result = await client.call_tool(ASK, arguments)
    assert result.is_error
    assert "input" in result.content[0].text


async def test_too_much_is_refused() -> None:
    async with served(Face(agent(rich))) as url, client_of(url, "legacy") as client:
        result = await ask(client, input="x" * 100_001)
        assert result.structured_content["errorCode"] == "REQUEST_TOO_LARGE"
        body = BytesIO(b'{"x": "%b"}' % (b"x" * 5_000_000))
        async with http.session().post(url, data=body, headers=ACCEPT) as response:
            status = response.status
    assert status == 413


@pytest.mark.parametrize(("stateless", "mode"), [(False, "legacy"), (False, "auto")])
async def test_a_cancelled_call_cancels_the_turn(stateless: bool, mode: str) -> None:
    endless = Endless()
    async with (
        served(Face(agent(endless), stateless=stateless)) as url,
        client_of(url, mode) as client,
    ):
        call = asyncio.create_task(ask(client))
        async with asyncio.timeout(10):
            await endless.began.wait()
            call.cancel()
            await endless.closed.wait()
            await asyncio.wait([call])


async def test_what_a_cancelled_turn_has_open_is_closed_in_peace() -> None:
    """The SDK cancels a call again at every step of its clean-up; ours is cancelled once."""
    began, closed = asyncio.Event(), asyncio.Event()

    async def careful(turn: Turn) -> Any:
        try:
            began.set()
            await asyncio.Event().wait()
            yield
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            closed.set()

    async with served(Face(agent(careful))) as url, client_of(url, "legacy") as client:
        call = asyncio.create_task(ask(client))
        async with asyncio.timeout(10):
            await began.wait()
            call.cancel()
            await closed.wait()
            await asyncio.wait([call])


async def test_those_who_know_the_extension_give_the_turn() -> None:
    asked = Recording(rich)
    turn = Turn(
        tenant="acme",
        channel="web",
        conversation_id="c-9",
        turn_id="t-9",
        user=User(id="ann"),
        messages=({"role": "user", "content": "hi"},),
    )
    async with served(Face(agent(asked))) as url, client_of(url) as client:
        await client.call_tool(ASK, {"input": "hi"}, meta={EXTENSION: turn.wire()})
        bad = await client.call_tool(ASK, {"input": "hi"}, meta={EXTENSION: {"tenant": 7}})
    assert asked.turns == [turn]
    assert bad.structured_content["errorCode"] == "INVALID_REQUEST"


# --- who may come ---------------------------------------------------------------------------------


def known(token: str) -> User | None:
    return {"a": User(id="ann", claims={"vip": True}), "b": User(id="bob")}.get(token)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_bearer_token_says_who_asks(mode: str) -> None:
    face = Face(OFFER, authenticate=known)
    async with served(face) as url:
        for token, user in (("a", "ann"), ("b", "bob")):
            headers = {"authorization": f"Bearer {token}"}
            async with client_of(url, mode, headers) as client:
                assert (await client.call_tool("who", {})).content[0].text == user
        for headers in ({}, {"authorization": "Bearer c"}, {"authorization": "Basic YTpi"}):
            status, given, text = await post(url, INITIALIZE, **headers)
            assert (status, given["www-authenticate"]) == (401, "Bearer")
            assert "bearer token" in text


async def test_a_session_is_its_users_own() -> None:
    async with served(Face(OFFER, authenticate=known)) as url:
        _, given, _ = await post(url, INITIALIZE, authorization="Bearer a")
        session = given["mcp-session-id"]
        listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        more = {"mcp_session_id": session, "mcp_protocol_version": "2025-11-25"}
        own, _, _ = await post(url, listing, authorization="Bearer a", **more)
        other, _, _ = await post(url, listing, authorization="Bearer b", **more)
        unknown, _, _ = await post(
            url, listing, authorization="Bearer a", **more | {"mcp_session_id": "nope"}
        )
    assert (own, other, unknown) == (200, 404, 404)


async def test_whoever_has_no_token_is_told_where_to_get_one() -> None:
    face = Face(OFFER, authenticate=known, authorization_servers=["https://login.example"])
    async with served(face) as url:
        _, given, _ = await post(url, INITIALIZE)
        place = given["www-authenticate"].split('"')[1]
        async with http.session().get(place) as response:
            found = await response.json()
    assert found["resource"] == url
    assert found["authorization_servers"] == ["https://login.example"]


@pytest.mark.parametrize(
    ("headers", "options", "status"),
    [
        ({}, {}, 200),
        ({"origin": "http://localhost:3000"}, {}, 200),
        ({"origin": "http://evil.example"}, {}, 403),
        ({"origin": "null"}, {}, 403),
        ({"origin": "http://localhost.evil.example"}, {}, 403),
        ({"host": "evil.example"}, {}, 403),
        ({"host": "127.0.0.1.evil.example"}, {}, 403),
        ({"host": "agents.acme"}, {"hosts": ["agents.acme"]}, 200),
        ({"origin": "https://app.acme"}, {"origins": ["https://app.acme"]}, 200),
        ({"host": "agents.acme", "origin": "https://x.y"}, {"hosts": "*", "origins": "*"}, 200),
    ],
)
async def test_pages_of_others_do_not_get_in(
    headers: dict[str, str], options: dict[str, Any], status: int
) -> None:
    async with served(Face(OFFER, **options)) as url:
        found, _, text = await post(url, INITIALIZE, **headers)
    assert found == status, text


async def test_after_its_time_a_face_says_so() -> None:
    face = Face(OFFER)
    async with served(face) as url:
        pass
    async with serving(app_of(face.routes())) as base:
        status, _, text = await post(f"{base}/mcp", INITIALIZE)
    async with served(face) as url, client_of(url) as client:
        assert (await client.list_tools()).tools
    assert (status, "not served" in text) == (503, True)


# --- sessions -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "stateless"), [("legacy", False), ("auto", False), ("auto", True)]
)
async def test_clients_are_told_that_the_tools_changed(mode: str, stateless: bool) -> None:
    tools = [ADD]
    changed = asyncio.Event()

    async def on_message(message: Any) -> None:
        if isinstance(message, ToolListChangedNotification):
            changed.set()

    def offer() -> Offer:
        return offer_of(*tools)

    face = Face(offer, stateless=stateless)
    async with served(face) as url, client_of(url, mode, message_handler=on_message) as client:
        assert client.server_capabilities.tools.list_changed
        assert len((await client.list_tools()).tools) == 1
        tools.append(Slow().tool)
        async with asyncio.timeout(10):
            if mode == "legacy":
                while not changed.is_set():  # its stream for such news may not be open yet
                    await face.changed()
                    await asyncio.sleep(0.01)
            else:
                async with client.listen(tools_list_changed=True) as news:
                    await face.changed()
                    await anext(aiter(news))
        assert len((await client.list_tools()).tools) == 2


async def test_a_watched_resource_is_told_of() -> None:
    updated: asyncio.Queue[str] = asyncio.Queue()

    async def on_message(message: Any) -> None:
        if message.method == "notifications/resources/updated":
            updated.put_nowait(message.params.uri)

    face = Face(OFFER)
    async with (
        served(face) as url,
        client_of(url, "legacy", message_handler=on_message) as client,
        asyncio.timeout(10),
    ):
        params = SubscribeRequestParams(uri="bill://7")
        await client.session.send_request(SubscribeRequest(params=params), EmptyResult)
        while updated.empty():
            await face.updated("bill://8")
            await face.updated("bill://7")
            await asyncio.sleep(0.01)
        assert updated.get_nowait() == "bill://7"


async def test_no_session_is_told_what_another_was() -> None:
    """Both number their requests alike; what is kept for one must not be given to the other."""
    async with served(Face(agent(Recording(rich)))) as url:
        sessions = []
        for _ in range(2):
            _, given, _ = await post(url, INITIALIZE)
            sessions.append(given["mcp-session-id"])
        call = {
            "jsonrpc": "2.0",
            "id": 5,
            "method": "tools/call",
            "params": {"name": ASK, "arguments": {"input": "hi"}},
        }
        version = {"mcp_protocol_version": "2025-11-25"}
        _, _, stream = await post(url, call, mcp_session_id=sessions[0], **version)
        id_ = next(line for line in stream.splitlines() if line.startswith("id:"))[3:].strip()
        headers = {
            "accept": "text/event-stream",
            "mcp-session-id": sessions[1],
            "mcp-protocol-version": "2025-11-25",
            "last-event-id": id_,
        }
        async with asyncio.timeout(10), http.session().get(url, headers=headers) as response:
            assert "42.50" not in await response.text()
    assert "42.50" in stream


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"jsonrpc": "2.0"}', b'"x"', b"\xff\xfe", b"[" * 100_000]
)
async def test_garbage_is_refused(body: bytes) -> None:
    async with served(Face(OFFER)) as url:
        headers = ACCEPT | {"content-type": "application/json"}
        async with http.session().post(url, data=body, headers=headers) as response:
            assert 400 <= response.status < 500
        async with client_of(url) as client:
            assert (await client.list_tools()).tools
