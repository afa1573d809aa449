"""One application for one agent or several: paths, cards, health, browsers, extras."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from serving_parts import Knowing, served, talker
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from lmos import Agent, Context
from lmos.arc import Chain, HandOver, Team
from lmos.arc.serving import Cors, Settings, app, mounts
from lmos.llm import ScriptedModel
from lmos.model import Answer, Message, Turn, errors
from lmos.protocols import a2a, http
from lmos.protocols import lmos as lmos_protocol
from lmos.protocols.auth import Auth

CASES = """### UseCase: greet
#### Description
The user says hello.
#### Solution
"Hello."
#### Examples
- hello
"""


@pytest.fixture(autouse=True)
async def _session() -> AsyncGenerator[None, None]:
    yield
    await http.close_session()


async def get(url: str, method: str = "GET", **headers: str) -> tuple[int, Any, dict[str, str]]:
    async with http.session().request(method, url, headers=headers) as response:
        body = await response.read()
        import json

        kind = response.content_type
        data = json.loads(body) if "json" in kind and body else body.decode()
        return response.status, data, {k.lower(): v for k, v in response.headers.items()}


# --- paths ----------------------------------------------------------------------------------------


async def test_a_single_agent_is_at_the_root() -> None:
    async with served(talker("one", use_cases=CASES)) as url:
        _, card, _ = await get(url + "/.well-known/agent-card.json")
        _, old, _ = await get(url + "/.well-known/agent.json")
        _, who, _ = await get(url + "/agents")
        described = await lmos_protocol.describe(url)
        a2a_described = await a2a.describe(url)
    assert [i["url"] for i in card["supportedInterfaces"]] == [url + "/a2a"] * 2
    assert "securitySchemes" not in card
    assert (old["name"], old["version"], old["url"]) == ("one", "1.2.0", url + "/a2a")
    assert old["capabilities"]["stateTransitionHistory"] is False
    assert [s["id"] for s in old["skills"]] == ["greet"]
    assert who["agents"][0]["card"] == "/.well-known/agent-card.json"
    assert described.name == a2a_described.name == "one"


async def test_several_agents_have_paths_of_their_own() -> None:
    agents = [talker("first", "I am first.", use_cases=CASES), talker("second")]
    async with served(agents, Settings(grpc="127.0.0.1:0")) as url:
        _, who, _ = await get(url + "/agents")
        for agent in who["agents"]:
            assert (await a2a.describe(f"{url}/agents/{agent['name']}")).name == agent["name"]
        status, problem, _ = await get(url + "/.well-known/agent-card.json")
        assert status == 404
        assert "/agents/first/.well-known/agent-card.json" in problem["message"]
        _, old, _ = await get(url + "/.well-known/agent.json")
        assert (old["name"], old["description"]) == (
            "multi-agent",
            "Multiple Agents: first, second",
        )
        assert [s["id"] for s in old["skills"]] == ["greet"]
        _, models, _ = await get(url + "/v1/models")
        assert [m["id"] for m in models["data"]] == ["first", "second"]
        _, health, _ = await get(url + "/health")
        assert [a["name"] for a in health["agents"]] == ["first", "second"]


def test_agents_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(errors.InvalidInput, match="two agents are named 'talker'"):
        app([talker(), talker()])
    with pytest.raises(errors.InvalidInput, match="no agent"):
        app([])
    with pytest.raises(errors.InvalidInput, match="part of a path"):
        app([talker(), talker("a/b")])


# --- health ---------------------------------------------------------------------------------------


async def test_ready_means_started_and_every_check_passes() -> None:
    problem = ["the database is away"]

    async def database() -> str:
        return problem[0]

    async def broken() -> str:
        raise KeyError("its inside is nobody's business")

    async with served(talker(), Settings(checks={"database": database})) as url:
        status, body, headers = await get(url + "/health/ready")
        assert (status, body["ok"], body["status"]) == (503, False, "DOWN")
        assert body["problems"] == {"database": "the database is away"}
        assert headers["cache-control"] == "no-store"
        assert (await get(url + "/health/live"))[0] == 200
        problem[0] = ""
        status, body, _ = await get(url + "/health")
        assert (status, body["ok"], body["agent"]) == (200, True, "talker")
    async with served(talker(), Settings(checks={"x": broken})) as url:
        _, body, _ = await get(url + "/health/ready")
        assert body["problems"] == {"x": "the check failed: KeyError"}


async def test_a_check_that_hangs_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    from lmos.arc.serving import health

    monkeypatch.setattr(health, "PATIENCE", 0.05)

    async def hanging() -> str:
        await asyncio.Event().wait()
        return ""

    async with served(talker(), Settings(checks={"slow": hanging})) as url:
        status, body, _ = await get(url + "/health/ready")
    assert (status, body["problems"]) == (503, {"slow": "no answer within 0.05 s"})


async def test_a_process_that_is_about_to_end_is_not_ready() -> None:
    from serving_parts import serving_app

    made = app(talker())
    async with serving_app(made) as url:
        made.state.leaving.set()
        status, body, _ = await get(url + "/health/ready")
        assert (status, body["problems"]) == (503, {"agents": "stopping"})
        assert (await get(url + "/health/live"))[0] == 200


async def test_an_agent_that_cannot_start_stops_the_others() -> None:
    stopped = []

    class Thing:
        async def __aenter__(self) -> "Thing":
            return self

        async def __aexit__(self, *_: object) -> None:
            stopped.append("first")

    class Broken:
        async def __aenter__(self) -> None:
            raise errors.InvalidInput("no database")

        async def __aexit__(self, *_: object) -> None: ...

    first = Agent(name="first", model=ScriptedModel("x").model, deps=[Thing()])
    second = Agent(name="second", model=ScriptedModel("x").model, deps=[Broken()])
    made = app([first, second])
    with pytest.raises(errors.InvalidInput, match="no database"):
        async with made.router.lifespan_context(made):
            raise AssertionError("it started")
    assert stopped == ["first"]


# --- browsers -------------------------------------------------------------------------------------


async def test_pages_of_other_origins_may_ask_when_they_are_let() -> None:
    page = {"Origin": "https://page.example"}
    wanted = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, conversation",
    }
    cors = Cors(origins=("https://page.example",))
    auth = Auth(keys=["k" * 20])
    async with served(talker(), Settings(cors=cors, auth=auth)) as url:
        chat = url + "/v1/chat/completions"
        status, _, headers = await get(chat, "OPTIONS", **page, **wanted)
        assert status == 200
        assert headers["access-control-allow-origin"] == "https://page.example"
        assert "authorization" in headers["access-control-allow-headers"]
        status, _, headers = await get(chat, "POST", **page)  # a refusal can be read, too
        assert status == 401
        assert headers["access-control-allow-origin"] == "https://page.example"
        assert "x-conversation-id" in headers["access-control-expose-headers"]
        status, _, headers = await get(chat, "OPTIONS", Origin="https://evil.example", **wanted)
        assert (status, "access-control-allow-origin" in headers) == (400, False)
    async with served(talker()) as url:
        status, _, headers = await get(url + "/v1/models", **page)
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    ("origin", "cors", "status"),
    [
        ("", None, 200),
        ("http://localhost:3000", None, 200),
        ("http://127.0.0.1:9", None, 200),
        ("https://evil.example", None, 403),
        ("null", None, 403),
        ("https://shop.example", Cors(origins=("https://shop.example",)), 200),
        ("https://evil.example", Cors(origins=("https://shop.example",)), 403),
        ("https://evil.example", Cors(), 200),
    ],
)
async def test_no_page_of_others_asks_an_agent_on_this_machine(
    origin: str, cors: Cors | None, status: int
) -> None:
    headers = {"Origin": origin} if origin else {}
    async with served(talker(), Settings(cors=cors)) as url:
        assert (await get(url + "/v1/models", **headers))[0] == status


@pytest.mark.parametrize(
    ("origin", "host", "server", "let"),
    [
        (
            "http://evil.example:80",
            "evil.example:80",
            "127.0.0.1",
            False,
        ),  # a name made to point here
        ("https://agents.example", "agents.example", "10.0.0.7", True),
        ("https://evil.example", "agents.example", "10.0.0.7", False),
        ("http://localhost", "agents.example", "10.0.0.7", False),
        ("http://[::1]:3000", "[::1]:80", "::1", True),
    ],
)
async def test_where_a_page_may_be_from(origin: str, host: str, server: str, let: bool) -> None:
    from lmos.protocols.origins import Origins

    sent: list[Any] = []

    async def reached(scope: Any, receive: Any, send: Any) -> None:
        sent.append("reached")

    async def send(message: Any) -> None:
        sent.append(message.get("status"))

    given = [(b"origin", origin.encode()), (b"host", host.encode())]
    scope = {"type": "http", "path": "/", "headers": given, "server": (server, 80)}
    await Origins(reached)(scope, None, send)  # type: ignore[arg-type]
    assert sent[0] == ("reached" if let else 403)


# --- what others mount ----------------------------------------------------------------------------


async def test_metrics_are_mounted_where_given() -> None:
    async with served(talker(), Settings(metrics=PlainTextResponse("turns 1"))) as url:
        assert (await get(url + "/metrics"))[1] == "turns 1"
    async with served(talker()) as url:
        assert (await get(url + "/metrics"))[0] == 404


async def test_a_protocol_is_served_where_its_extra_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran: list[str] = []
    knowing = Knowing()

    def make(given: mounts.Served) -> mounts.Mounted:
        async def ask(request: Request) -> JSONResponse:
            return JSONResponse([ran, list(given.agents), list(given.responders)])

        @asynccontextmanager
        async def running() -> AsyncGenerator[None, None]:
            ran.append("began")
            yield
            ran.append("ended")

        return mounts.Mounted([Route("/other", ask)], running)

    def never(given: mounts.Served) -> mounts.Mounted:
        raise AssertionError("its extra is not installed")

    known = [mounts.Mount("json", make), mounts.Mount("no_such_module_anywhere", never)]
    monkeypatch.setattr(mounts, "MOUNTS", known)
    async with served(knowing.agent) as url:
        assert (await get(url + "/other"))[1] == [["began"], ["knowing"], ["knowing"]]
    assert ran == ["began", "ended"]


async def test_graphql_and_ag_ui_know_who_asks() -> None:
    from lmos.model import Answer, Message, Turn
    from lmos.protocols import graphql

    message = Message(role="user", content="hi")
    turn = Turn(conversation_id="c", turn_id="t", messages=(message,))
    run = {
        "threadId": "c",
        "runId": "t",
        "state": {},
        "messages": [{"id": "1", "role": "user", "content": "hi"}],
        "tools": [],
        "context": [],
        "forwardedProps": {},
    }
    async with served([talker("first", "I am first."), talker("second")]) as url:
        events = [event async for event in graphql.responder(url)(turn)]
        assert [e.message.content for e in events if isinstance(e, Answer)] == ["I am first."]
        async with http.session().post(f"{url}/agui/second", json=run) as response:
            assert "friend." in await response.text()
    async with served(talker(), Settings(auth=Auth(keys=["k" * 20]))) as url:
        async with http.session().post(f"{url}/agui", json=run) as response:
            assert response.status == 401
        async with http.session().post(f"{url}/graphql", json={"query": "{ __typename }"}) as found:
            assert found.status == 401


async def test_agents_and_their_tools_are_served_over_mcp() -> None:
    from lmos.protocols import connecting, mcp

    keys = Auth(keys=["correct-horse-battery-staple"])
    agent = talker("talker", "Over MCP.")

    @agent.tool
    def add(x: int, y: int) -> int:
        """Adds."""
        return x + y

    async with served(agent, Settings(auth=keys)) as url:
        server = mcp.Server(url + "/mcp", headers=(("x-api-key", "correct-horse-battery-staple"),))
        connection = mcp.connect(server)
        assert {tool.name for tool in await connection.tools()} == {"ask_talker", "add"}
        result = await connection.call("ask_talker", {"input": "hello"})
        assert result.structured is not None
        assert result.structured["answer"] == "Over MCP."
        assert (await connection.call("add", {"x": 1, "y": 2})).content[0]
        with pytest.raises(errors.LmosError):
            await mcp.connect(mcp.Server(url + "/mcp")).tools()
        await connecting.disconnect()


async def test_a_team_is_served_like_one_agent() -> None:
    front, billing = talker("front"), talker("billing", "42 EUR.", use_cases=CASES)

    @front.input_filter
    def away(ctx: Context, text: str) -> str:
        raise HandOver("billing")

    team = Team("support", [front, billing], description="Helps.", version="2.0.0")
    chain = Chain("both", [talker("first"), talker("last", "The last word.")])
    async with served(team) as url:
        _, card, _ = await get(url + "/.well-known/agent-card.json")
        assert (card["name"], card["version"]) == ("support", "2.0.0")
        assert card["description"] == "Helps."
        assert [skill["id"] for skill in card["skills"]] == ["greet"]
        turn = Turn(conversation_id="c", turn_id="t", messages=(Message(role="user", content="x"),))
        events = [event async for event in a2a.responder(url)(turn)]
        assert [e.message.content for e in events if isinstance(e, Answer)] == ["42 EUR."]
        who = (await get(url + "/agents"))[1]["agents"]
        assert [agent["name"] for agent in who] == ["support"]
    async with served([team, chain], Settings(dev=True)) as url:
        assert (await get(url + "/health/ready"))[0] == 200
        assert (await get(url + "/v1/models"))[1]["data"][1]["id"] == "both"
