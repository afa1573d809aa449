"""Our MCP client against real servers: over HTTP, event streams and standard streams; killed, slow
and out of their minds.
"""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from mcp.server.mcpserver import MCPServer
from mcp_parts import ADD, OFFER, TOOLS, Slow, agent, offer_of, served
from protocol_agents import (
    Endless,
    Recording,
    a_turn,
    asking,
    events_of,
    failing,
    failing_late,
    handing_over,
    names,
    rich,
)
from protocol_servers import app_of, serving
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from lmos.model import (
    Answer,
    Done,
    Failed,
    InputRequired,
    Message,
    Started,
    StatusUpdate,
    TextDelta,
    Turn,
    User,
)
from lmos.model.errors import (
    AgentFailed,
    AgentUnavailable,
    DeadlineExceeded,
    InvalidInput,
    NotFound,
    Overloaded,
)
from lmos.protocols import mcp
from lmos.protocols.mcp import Connection, Face, Offer, Server
from lmos.protocols.mcp.client import _pools

SCRIPT = str(Path(__file__).parent / "mcp_stdio_server.py")
COMMAND = (sys.executable, SCRIPT)


@pytest.fixture(autouse=True)
async def _nothing_is_left() -> AsyncGenerator[None, None]:
    """Afterwards there is no session, no task, no connection and no process that was not before."""
    me = psutil.Process()
    children, connections = me.children(recursive=True), established(me)
    yield
    await mcp.close_all()
    gc.collect()
    assert [task for task in asyncio.all_tasks() if "mcp " in task.get_name()] == []
    assert [child for child in me.children(recursive=True) if child not in children] == []
    assert established(me) <= connections


def established(process: psutil.Process) -> set[Any]:
    found = process.net_connections()
    return {(c.laddr, c.raddr) for c in found if c.status == psutil.CONN_ESTABLISHED}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def process(port: int) -> AsyncGenerator[asyncio.subprocess.Process, None]:
    """A server in a process of its own."""
    started = await asyncio.create_subprocess_exec(
        *COMMAND, str(port), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert started.stdout is not None
        assert await started.stdout.readline() == b"ready\n"
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()
        started._transport.close()  # type: ignore[attr-defined]


# --- transports -----------------------------------------------------------------------------------


async def test_tools_over_http() -> None:
    async with served(Face(OFFER)) as url:
        connection = mcp.connect(Server.of(url))
        tools = await connection.tools()
        assert [tool.name for tool in tools] == [tool.name for tool in TOOLS]
        assert (tools[0].title, tools[0].schema, tools[0].output) == (
            "Adding",
            ADD.schema,
            ADD.output,
        )
        assert tools[0].annotations == {"readOnlyHint": True}
        assert tools[0].meta == {"version": "2.0.0"}
        result = await connection.call("add", {"a": 2, "b": 3})
        assert (result.content, result.structured, result.failed) == (("5",), {"sum": 5}, False)
        failed = await connection.call("fail", {})
        assert (failed.failed, failed.content) == (True, ("somebody else has the bill",))
        await mcp.close_all()


async def test_tools_over_standard_streams() -> None:
    server = Server.of(command=COMMAND, env={"GREETING": "hello "})
    connection = mcp.connect(server)
    assert [t.name for t in await connection.tools()] == ["echo", "pid", "die", "sleep"]
    assert (await connection.call("echo", {"text": "you"})).content == ("hello you",)


async def test_tools_over_the_older_event_streams() -> None:
    older = MCPServer("older")

    @older.tool()
    def double(n: int) -> int:
        """Doubles it."""
        return 2 * n

    async with serving(older.sse_app()) as url:
        connection = mcp.connect(Server.of(f"{url}/sse"))
        assert [t.name for t in await connection.tools()] == ["double"]
        assert (await connection.call("double", {"n": 4})).structured == {"result": 8}
        await mcp.close_all()


async def test_prompts_and_resources() -> None:
    async with served(Face(OFFER)) as url:
        connection = mcp.connect(Server.of(url))
        (prompt,) = await connection.prompts()
        assert (prompt.name, prompt.arguments, prompt.required) == ("greet", ("name",), ("name",))
        (message,) = await connection.prompt("greet", {"name": "Ann"})
        assert (message.role, message.content) == ("user", "Greet Ann.")
        assert [r.uri for r in await connection.resources()] == ["logo://acme", "bill://{id}"]
        (bill,) = await connection.read("bill://7")
        assert (bill.mime_type, bill.source) == ("text/plain", "bill://7")
        (logo,) = await connection.read("logo://acme")
        assert logo.data_as_base64 == "iVBORw=="
        with pytest.raises(AgentFailed, match="no resource"):
            await connection.read("nope://x")
        with pytest.raises(InvalidInput, match="needs name"):
            await connection.prompt("greet")
        await mcp.close_all()


async def test_a_server_without_such_things_has_none() -> None:
    bare = MCPServer("bare")
    app = bare.streamable_http_app()
    async with bare.session_manager.run(), serving(app) as url:
        connection = mcp.connect(Server.of(f"{url}/mcp"))
        assert await connection.tools() == ()
        await mcp.close_all()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "give one"),
        ({"url": "http://x/mcp", "command": ["x"]}, "give one"),
        ({"url": "ftp://x/mcp"}, "not the http"),
    ],
)
def test_a_server_is_in_one_place(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        Server.of(**given)


def test_nothing_secret_is_shown() -> None:
    server = Server.of("http://u:secret@h/mcp?key=secret", headers={"x": "secret"}, auth="secret")
    assert "secret" not in server.who
    assert "secret" not in repr(Server.of("http://h/mcp", headers={"x": "secret"}, auth="secret"))


@pytest.mark.parametrize("how", ["end", "interrupt", "longline"])
async def test_a_server_on_standard_streams_ends_when_it_is_told(how: str) -> None:
    ping = b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n'
    pipe = asyncio.subprocess.PIPE
    started = await asyncio.create_subprocess_exec(
        *COMMAND, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
    )
    assert started.stdin is not None
    assert started.stdout is not None
    started.stdin.write(b"garbage\n" + ping)
    assert b'"result":{}' in await started.stdout.readline()
    match how:
        case "end":
            started.stdin.close()
        case "interrupt":
            started.send_signal(signal.SIGINT)
        case "longline":
            started.stdin.write(b"x" * 5_000_000)
    async with asyncio.timeout(10):
        await started.wait()
    started._transport.close()  # type: ignore[attr-defined]


# --- the pool -------------------------------------------------------------------------------------


async def test_one_session_serves_all() -> None:
    async with served(Face(OFFER)) as url:
        server = Server.of(url)
        assert mcp.connect(server) is mcp.connect(Server.of(url))
        assert mcp.connect(server) is not mcp.connect(Server.of(url, auth="x"))
        connection = mcp.connect(server)
        calls = (connection.call("add", {"a": n, "b": n}) for n in range(50))
        results = await asyncio.gather(*calls)
        assert [r.structured for r in results] == [{"sum": 2 * n} for n in range(50)]
        assert connection.opened == 1
        await mcp.close_all()
    assert asyncio.get_running_loop() not in _pools


async def test_an_unused_session_is_closed_and_opened_again() -> None:
    async with served(Face(OFFER)) as url:
        connection = Connection(Server.of(url), idle=0.01)
        await connection.tools()
        async with asyncio.timeout(10):
            while connection._session is not None:
                await asyncio.sleep(0.005)
        assert (await connection.call("add", {"a": 1, "b": 1})).structured == {"sum": 2}
        assert connection.opened == 2
        await connection.close()


async def test_tools_are_listed_once_until_they_change() -> None:
    tools, asked = [ADD], 0

    def offer() -> Offer:
        nonlocal asked
        asked += 1
        return offer_of(*tools)

    face = Face(offer)
    async with served(face) as url:
        connection = mcp.connect(Server.of(url))
        assert len(await connection.tools()) == 1
        before = asked
        await asyncio.gather(*(connection.tools() for _ in range(10)))
        assert asked == before
        tools.append(Slow().tool)
        async with asyncio.timeout(10):
            while len(await connection.tools()) == 1:  # its stream for news may not be open yet
                await face.changed()
                await asyncio.sleep(0.01)
        await mcp.close_all()


async def test_a_list_is_believed_for_its_time_only() -> None:
    tools = [ADD]
    async with served(Face(lambda: offer_of(*tools))) as url:
        connection = Connection(Server.of(url, tools_time=0.0))
        assert len(await connection.tools()) == 1
        tools.append(Slow().tool)
        assert len(await connection.tools()) == 2
        await connection.close()


# --- servers that fail ----------------------------------------------------------------------------


async def test_a_server_that_was_started_again_is_asked_again() -> None:
    port = free_port()
    connection = mcp.connect(Server.of(f"http://127.0.0.1:{port}/mcp"))
    pids = set()
    for _ in range(2):
        async with process(port):
            pids.add((await connection.call("pid", {})).content)
    assert len(pids) == 2
    with pytest.raises(AgentUnavailable):
        await connection.call("pid", {})


async def test_a_session_that_the_server_forgot_is_opened_again() -> None:
    port = free_port()
    connection: Connection | None = None
    for _ in range(2):
        async with served(Face(OFFER), port) as url:
            connection = connection or mcp.connect(Server.of(url))
            assert (await connection.call("add", {"a": 1, "b": 1})).structured == {"sum": 2}
    await mcp.close_all()


@pytest.mark.parametrize("how", ["http", "stdio"])
async def test_a_server_killed_in_the_middle_of_a_call(how: str) -> None:
    port = free_port()

    async def killed(connection: Connection) -> None:
        async with asyncio.timeout(20):
            with pytest.raises(AgentUnavailable):
                await connection.call("die", {})

    if how == "stdio":
        connection = mcp.connect(Server.of(command=COMMAND))
        await killed(connection)
    else:
        connection = mcp.connect(Server.of(f"http://127.0.0.1:{port}/mcp"))
        async with process(port):
            await killed(connection)
        async with process(port):
            assert (await connection.call("echo", {"text": "x"})).content == ("x",)
        return
    assert (await connection.call("echo", {"text": "x"})).content == ("x",)
    assert connection.opened == 2


async def test_a_server_that_stops_is_given_up() -> None:
    port = free_port()
    async with process(port) as server:
        connection = mcp.connect(Server.of(f"http://127.0.0.1:{port}/mcp", timeout=20.0))
        await connection.tools()
        server.send_signal(signal.SIGSTOP)
        with pytest.raises(DeadlineExceeded, match="did not answer in time"):
            await connection.call("echo", {"text": "x"}, timeout=0.2)
        server.send_signal(signal.SIGCONT)
        assert (await connection.call("echo", {"text": "x"})).content == ("x",)


async def test_a_call_that_takes_too_long_is_cancelled_there() -> None:
    slow = Slow()
    async with served(Face(offer_of(slow.tool))) as url, asyncio.timeout(10):
        connection = mcp.connect(Server.of(url))
        with pytest.raises(DeadlineExceeded):
            await connection.call("slow", {}, timeout=0.1)
        await slow.cancelled.wait()
        await mcp.close_all()


async def test_a_call_that_is_given_up_is_cancelled_there() -> None:
    slow = Slow()
    async with served(Face(offer_of(slow.tool))) as url, asyncio.timeout(10):
        connection = mcp.connect(Server.of(url))
        call = asyncio.create_task(connection.call("slow", {}))
        await slow.began.wait()
        call.cancel()
        await slow.cancelled.wait()
        await asyncio.wait([call])
        await mcp.close_all()


def answering(response: Response) -> list[Route]:
    async def answer(request: Request) -> Response:
        return response

    return [Route("/mcp", answer, methods=["GET", "POST", "DELETE"])]


GARBAGE = {
    "html": HTMLResponse("<h1>hello</h1>"),
    "no JSON": Response("{", media_type="application/json"),
    "no JSON-RPC": JSONResponse({"hello": "world"}),
    "nothing": Response(b"", media_type="application/json"),
    "no events": Response("hello\n\n", media_type="text/event-stream"),
    "wrong events": Response("data: {}\n\n", media_type="text/event-stream"),
    "accepted": Response(status_code=202),
    "moved": Response(status_code=307, headers={"location": "http://evil.example/mcp"}),
    "broken": Response("oops", 500),
    "not found": Response("no", 404),
}


@pytest.mark.parametrize("what", list(GARBAGE))
async def test_garbage_is_an_error(what: str) -> None:
    async with serving(app_of(answering(GARBAGE[what]))) as url:
        with pytest.raises(AgentFailed) as failed:
            await mcp.connect(Server.of(f"{url}/mcp", timeout=3.0)).tools()
        assert "MCP server at http://127.0.0.1" in failed.value.message
        await mcp.close_all()


@pytest.mark.parametrize(
    "script",
    ["import sys; print('hello', flush=True); sys.stdin.read()", "import sys; sys.exit(3)"],
)
async def test_a_process_that_is_no_server(script: str) -> None:
    server = Server.of(command=(sys.executable, "-c", script), timeout=1.0)
    with pytest.raises(AgentFailed, match="the MCP server"):
        await mcp.connect(server).tools()


async def test_a_command_that_there_is_not() -> None:
    with pytest.raises(AgentUnavailable, match="cannot be started"):
        await mcp.connect(Server.of(command=["/nowhere/server"])).tools()


async def test_a_server_that_there_is_not() -> None:
    server = Server.of(f"http://127.0.0.1:{free_port()}/mcp")
    for _ in range(2):
        with pytest.raises(AgentUnavailable, match="cannot be reached"):
            await mcp.connect(server).tools()


async def test_a_wrong_token_is_told() -> None:
    face = Face(OFFER, authenticate=lambda token: User(id="ann") if token == "t" else None)
    async with served(face) as url:
        with pytest.raises(AgentFailed, match=r"HTTP 401.*give it other"):
            await mcp.connect(Server.of(url, auth="x")).tools()
        right = mcp.connect(Server.of(url, auth="t"))
        assert (await right.call("who", {})).content == ("ann",)
        header = mcp.connect(Server.of(url, headers={"Authorization": "Bearer t"}))
        assert (await header.call("who", {})).content == ("ann",)
        await mcp.close_all()


# --- being asked back -----------------------------------------------------------------------------


async def form(caller: mcp.Caller, arguments: Mapping[str, Any]) -> mcp.Result:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "default": 7}}}
    return mcp.Result((str(await caller.ask("How many?", schema)),))


async def model(caller: mcp.Caller, arguments: Mapping[str, Any]) -> mcp.Result:
    return mcp.Result((await caller.sample("Say something", 10),))


BACK = offer_of(
    *(mcp.Tool(n, n, {"type": "object"}, call) for n, call in (("form", form), ("model", model)))
)


async def test_what_a_server_asks_back_is_answered_or_refused() -> None:
    async def elicit(message: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        return {}

    async def decline(message: str, schema: Mapping[str, Any]) -> None:
        return None

    async def sample(system: str, prompt: str, limit: int) -> str:
        return f"{prompt}, {limit}"

    async with legacy(BACK) as url:
        nobody = mcp.connect(Server.of(url))
        for tool in ("form", "model"):
            result = await nobody.call(tool, {})
            assert result.failed
            assert "does not take" in str(result.content[0])
        asked = mcp.connect(Server.of(url, elicit=elicit, sample=sample))
        (text,) = (await asked.call("form", {})).content
        assert text == "{'action': 'accept', 'content': {'n': 7}}"
        assert (await asked.call("model", {})).content == ("Say something, 10",)
        declined = mcp.connect(Server.of(url, elicit=decline))
        (text,) = (await declined.call("form", {})).content
        assert text == "{'action': 'decline', 'content': {}}"
        await mcp.close_all()


@asynccontextmanager
async def legacy(offer: Offer) -> AsyncGenerator[str, None]:
    """A server that speaks 2025-11-25 only, with sessions."""
    face = Face(offer)
    app = app_of(face.routes())

    async def older(scope: Any, receive: Any, send: Any) -> None:
        if (b"mcp-protocol-version", b"2026-07-28") in scope["headers"]:
            await Response(status_code=400)(scope, receive, send)
            return
        await app(scope, receive, send)

    async with face.running(), serving(older) as url:
        yield f"{url}/mcp"


# --- agents ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["sessions", "newest"])
async def test_an_agent_of_ours_answers_as_if_it_were_here(way: str) -> None:
    asked = Recording(rich)
    turn = a_turn("my bill", user=User(id="ann", profile={"vip": "true"}))
    serve = legacy(agent(asked)) if way == "sessions" else served(Face(agent(asked)))
    async with serve as url:
        found = await events_of(mcp.responder(url), turn)
        assert found == await events_of(rich, turn)
        assert asked.turns == [turn]
        await mcp.close_all()


@pytest.mark.parametrize("responder", [asking, handing_over, failing, failing_late])
async def test_however_a_turn_ends(responder: Any) -> None:
    async with served(Face(agent(responder))) as url:
        turn = a_turn("12" if responder is asking else "hello")
        found = await events_of(mcp.responder(url), turn)
        last = [event async for event in responder(turn)][-1] if responder is asking else None
        assert last is None or found[-1] == last
        if isinstance(found[-1], Failed):
            kind = Overloaded if responder is failing else AgentFailed
            assert type(found[-1].exception()) is kind
        await mcp.close_all()


async def test_a_long_answer_keeps_its_order() -> None:
    async def talking(turn: Turn) -> Any:
        yield Started(agent="talking")
        for n in range(500):
            yield TextDelta(text=f"{n} ")
        text = "".join(f"{n} " for n in range(500))
        yield Answer(message=Message(role="assistant", content=text))
        yield Done()

    async with legacy(agent(talking)) as url:
        found = await events_of(mcp.responder(url), a_turn())
        texts = [event.text for event in found if isinstance(event, TextDelta)]
        assert texts == [f"{n} " for n in range(500)]
        await mcp.close_all()


async def test_whoever_leaves_ends_the_turn_there() -> None:
    endless = Endless()
    async with served(Face(agent(endless))) as url, asyncio.timeout(10):
        events = mcp.responder(url)(a_turn())
        async for event in events:
            if isinstance(event, TextDelta):
                break
        await events.aclose()
        await endless.closed.wait()
        await mcp.close_all()


@asynccontextmanager
async def foreign() -> AsyncGenerator[str, None]:
    """An agent that somebody else built with the official SDK."""
    from mcp.server.mcpserver import Context

    server = MCPServer("foreign")

    @server.tool()
    async def research(query: str, ctx: Context[Any, Any]) -> str:
        """Finds out."""
        await ctx.report_progress(1, 2, "reading")
        if query == "fail":
            raise ValueError("no idea")
        return f"about {query}: nothing"

    @server.tool()
    def add(a: int, b: int) -> int:
        """Adds."""
        return a + b

    app = server.streamable_http_app()
    async with server.session_manager.run(), serving(app) as url:
        yield f"{url}/mcp"


async def test_a_tool_of_somebody_elses_is_an_agent() -> None:
    async with foreign() as url:
        found = await events_of(mcp.responder(f"{url}#research"), a_turn("bees"))
        assert names(found) == ["started", "status", "message", "done"]
        assert isinstance(found[1], StatusUpdate)
        assert found[1].text == "reading"
        assert isinstance(found[2], Answer)
        assert found[2].message.content == "about bees: nothing"
        failed = (await events_of(mcp.responder(url, tool="research"), a_turn("fail")))[-1]
        assert isinstance(failed, Failed)
        assert "Error executing tool research" in failed.error.message
        for responder, words in (
            (mcp.responder(url), "2 tools that may be meant"),
            (mcp.responder(url, tool="add"), "is no agent"),
            (mcp.responder(url, tool="nope"), "has no tool 'nope'; it has research, add"),
        ):
            failed = (await events_of(responder, a_turn("x")))[-1]
            assert isinstance(failed, Failed)
            assert isinstance(failed.exception(), NotFound)
            assert words in failed.error.message
        await mcp.close_all()


async def test_a_question_goes_on_in_its_conversation() -> None:
    asked = Recording(asking)
    async with served(Face(agent(asked))) as url:
        responder = mcp.responder(url)
        (_, question) = await events_of(responder, a_turn("my account"))
        assert isinstance(question, InputRequired)
        assert names(await events_of(responder, a_turn("12"))) == ["started", "message", "done"]
        assert {turn.conversation_id for turn in asked.turns} == {"c-1"}
        await mcp.close_all()
