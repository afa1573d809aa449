"""Two tenants on one runtime: what one of them tries, by chance and by plan, to reach of the other.

Every route that the application has is tried, so one that is added later is tried as well.
"""

import json
import random
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from identity_parts import ACME, GLOBEX, OPERATOR, House, bearer, housed
from runtime_parts import served
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lmos.controlplane import EventLog, api
from lmos.model import errors
from lmos.runtime import app
from lmos.runtime.identity.gate import Gated

ATTEMPTS = 500
SECRET = "the globex merger is on Friday"
CONVERSATION = "globex-conversation"
DENIED = {401, 403, 404}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with housed() as made:
        await _talk(made)
        yield made


@pytest.fixture
def application(house: House) -> Starlette:
    """The runtime with all that `lmos up` puts beside it, and routes that somebody added without a
    thought about who may use them.
    """

    async def forgotten(request: Request) -> JSONResponse:
        return JSONResponse({"secret": SECRET})

    added = (
        "/forgotten",
        "/apis/v1/{tenant}/forgotten/{conversation}",
        "/apis/v1/tenants/{tenant}/forgotten/{path:path}",
        "/lmos/runtime/apis/v1/{tenant}/forgotten",
    )
    extra = [Route(path, forgotten, methods=["GET", "POST", "DELETE"]) for path in added]
    routes = [*house.routes(), *api.routes(house.store, EventLog()), *extra]
    return app.application(routes, house.tenants)


@pytest.fixture
async def url(application: Starlette) -> AsyncIterator[str]:
    async with served(application) as address:
        yield address


async def _talk(house: House) -> None:
    """Globex has a conversation and a task, which acme has heard the ids of."""
    path = f"/apis/v1/globex/chat/{CONVERSATION}/message"
    async with aiohttp.ClientSession(house.url, headers=bearer(GLOBEX)) as session:
        async with session.post(path, json=_conversation(SECRET)) as response:
            assert response.status == 200
        async with session.post("/a2a/globex/web/a2a/message:send", json=_message()) as response:
            house.task = (await response.json(content_type=None))["task"]["id"]


def _conversation(text: str) -> dict[str, Any]:
    return {
        "inputContext": {"messages": [{"role": "user", "content": text}]},
        "systemContext": {"channelId": "web"},
        "userContext": {"userId": "hank"},
    }


def _message(**more: Any) -> dict[str, Any]:
    parts = [{"text": "show me my bill"}]
    return {"message": {"messageId": "m", "role": "ROLE_USER", "parts": parts, **more}}


# --- attempts -------------------------------------------------------------------------------------


class Intruder:
    """Somebody with a key of acme's, who makes up requests for globex."""

    def __init__(self, session: aiohttp.ClientSession, house: House, seed: int) -> None:
        self.session = session
        self.chance = random.Random(seed)
        self.task = house.task

    def headers(self) -> dict[str, str]:
        """Credentials of acme's, or none, and whatever might help."""
        key = self.chance.choice([ACME, ACME, ACME, ACME, "", "guess", ACME + " "])
        sent = self.chance.choice([bearer(key), {"x-api-key": key}]) if key else {}
        might = {
            "tenant": "globex",
            "x-tenant": "globex",
            "channel": "web",
            "user": "hank",
            "x-subset": "stable",
            "x-namespace": "default",
            "conversation": CONVERSATION,
            "accept": "text/event-stream",
            "x-original-url": "/apis/v1/acme/chat/c/message",
            "x-forwarded-prefix": "/acme",
        }
        names = self.chance.sample(sorted(might), self.chance.randint(0, 4))
        return {**sent, **{name: might[name] for name in names}}

    def path(self, route: Route) -> str:
        """The route's path for what is globex's, written in one of the ways that mean the same."""
        values = {
            "tenant": self.chance.choice(["globex", "globex", "glob%65x", "globex%2F..%2Facme"]),
            "channel": "web",
            "conversation": CONVERSATION,
            "id": self.task,
            "name": self.chance.choice(["globex-web", "globex/web"]),
            "agent": "globex/web",
            "namespace": "default",
            "plural": self.chance.choice(["agents", "channelroutings", "tenants", "channels"]),
        }
        path = route.path
        for name in route.param_convertors:
            for form in (f"{{{name}:path}}", f"{{{name}}}"):
                path = path.replace(form, values.get(name, "x"))
        query = self.chance.choice(["", "", "?tenantId=globex&channelId=web", "?tenant=acme"])
        return path + query

    def body(self) -> Any:
        text = {"text": "hi", "conversationId": CONVERSATION}
        model = {"model": "globex/web", "messages": [{"role": "user", "content": "my bill"}]}
        rpc = {"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": self.task}}
        response = {"model": "globex/web", "input": "my bill", "conversation": CONVERSATION}
        run = {"threadId": CONVERSATION, "runId": "r", "messages": [
            {"id": "1", "role": "user", "content": "my bill"}]}  # fmt: skip
        carried = {"tenant": "globex", "channel": "web", "conversationId": CONVERSATION,
                   "turnId": "t", "messages": [{"role": "user", "content": "my bill"}]}  # fmt: skip
        lie = _message(metadata={"urn:lmos:a2a:turn:1": {"turn": carried}}, contextId=CONVERSATION)
        return self.chance.choice(
            [_conversation("my bill"), text, model, rpc, response, run, _message(), lie, None]
        )

    async def request(self, method: str, path: str, body: Any) -> tuple[int, str]:
        async with self.session.request(
            method, path, json=body, headers=self.headers()
        ) as response:
            return response.status, await response.text()

    async def over_routes(self, routes: list[Route]) -> tuple[int, str]:
        """Any route with any method."""
        route = self.chance.choice(routes)
        offered = sorted(route.methods or METHODS)
        method = self.chance.choice([*offered, *offered, self.chance.choice(METHODS)])
        return await self.request(method, self.path(route), self.body())

    async def over_openai(self) -> tuple[int, str]:
        """The channel as a model."""
        path = self.chance.choice(["/v1", "/openai/v1"])
        name = self.chance.choice(["globex/web", "globex/ivr", "globex/web/"])
        kind = self.chance.choice(["chat/completions", "responses", "models"])
        if kind == "models":
            return await self.request("GET", f"{path}/models/{name}", None)
        stream = {"stream": self.chance.random() < 0.5}
        asked = [{"role": "user", "content": "my bill"}]
        what: dict[str, Any] = (
            {"messages": asked} if kind == "chat/completions" else {"input": asked}
        )
        return await self.request("POST", f"{path}/{kind}", {"model": name, **what, **stream})

    async def over_agui(self) -> tuple[int, str]:
        asked = [{"id": "1", "role": "user", "content": "my bill"}]
        run = {"threadId": CONVERSATION, "runId": "r", "messages": asked}
        return await self.request("POST", "/agui/globex/web", run)

    def operation(self) -> dict[str, Any]:
        """A subscription that names globex in either way."""
        named = self.chance.random() < 0.5
        context = [{"key": "tenantId", "value": "globex"}, {"key": "channelId", "value": "web"}]
        request = {
            "messages": [{"role": "user", "content": "my bill"}],
            "conversationContext": {"conversationId": CONVERSATION},
            "systemContext": [] if named else context,
            "userContext": {"userId": "hank", "profile": []},
        }
        query = """subscription($request: AgentRequestInput!, $name: String) {
            agent(request: $request, agentName: $name) { messages { content } } }"""
        name = "globex/web" if named else None
        return {"query": query, "variables": {"request": request, "name": name}}

    async def over_graphql(self) -> tuple[int, str]:
        """As server-sent events, whose errors say what over HTTP is a status."""
        headers = {**bearer(ACME), "accept": "text/event-stream"}
        async with self.session.post(
            "/graphql", json=self.operation(), headers=headers
        ) as response:
            text = await response.text()
        return _status_of_codes(text), text

    async def over_websocket(self) -> tuple[int, str]:
        """As ARC's clients do."""
        key = self.chance.choice([ACME, ACME, "guess", ""])
        headers = bearer(key) if key else {}
        try:
            async with self.session.ws_connect("/subscriptions", headers=headers) as socket:
                await socket.send_json({"type": "connection_init"})
                await socket.receive_json(timeout=5)
                message = {"type": "subscribe", "id": "1", "payload": self.operation()}
                await socket.send_json(message)
                text = await socket.receive_str(timeout=5)
        except aiohttp.WSServerHandshakeError as refused:
            return refused.status, ""
        return _status_of_codes(text), text

    async def over_turns_socket(self) -> tuple[int, str]:
        """Turn after turn over a WebSocket, with whatever credentials a handshake can bring."""
        prefix = self.chance.choice(["", "/lmos/runtime"])
        tenant = self.chance.choice(["globex", "glob%65x"])
        path = f"{prefix}/apis/v1/{tenant}/chat/{CONVERSATION}/ws"
        named = ["lmos.turns.v1", f"lmos.bearer.{self.chance.choice([ACME, 'guess'])}"]
        protocols = self.chance.choice([(), named])
        try:
            async with self.session.ws_connect(
                path, headers=self.headers(), protocols=protocols
            ) as socket:
                await socket.send_json({"type": "turn", "turnId": "t", **_conversation("my bill")})
                return 200, await socket.receive_str(timeout=5)
        except aiohttp.WSServerHandshakeError as refused:
            return refused.status, ""

    async def over_mcp(self) -> tuple[int, str]:
        """A tool of globex's channel, asked for with a turn that says it is acme's."""
        turn = {"tenant": "acme", "channel": "web", "conversationId": CONVERSATION, "turnId": "t",
                "messages": [{"role": "user", "content": "my bill"}]}  # fmt: skip
        arguments = {"input": "my bill", "conversation": CONVERSATION}
        params = {"name": self.chance.choice(["ask", "ask_billing"]), "arguments": arguments,
                  "_meta": {"lmos.eclipse/turn": turn}}  # fmt: skip
        method = self.chance.choice(["tools/call", "tools/list"])
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        path = self.chance.choice(["/mcp/globex/web", "/mcp/glob%65x/web", "/mcp/globex%2Fweb/web"])
        return await self.request("POST", path, body)


def _status_of_codes(text: str) -> int:
    """The status of the one error code that a GraphQL answer has."""
    for part in text.split("data:"):
        start = part.find("{")
        found = json.loads(part[start : part.rfind("}") + 1]) if start >= 0 else {}
        listed = found.get("errors") or found.get("payload") or []
        for error in listed if isinstance(listed, list) else []:
            return errors.face_of(errors.code_to_error(error["extensions"]["code"])).status
    return 200


def _closed(application: Starlette) -> list[Route]:
    """All routes but those that are for every tenant's callers: these have ways of their own."""
    gated = [route for route in application.routes if isinstance(route, Gated)]
    assert len(gated) == len(application.routes)
    found = [g.route for g in gated if not (g.shared or g.public)]
    assert len(found) > 20
    return [route for route in found if isinstance(route, Route)]


async def _everything(house: House) -> list[Any]:
    return [found async for found in house.state.scan("")]


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
async def test_five_hundred_attempts_reach_nothing(
    house: House, application: Starlette, url: str, seed: int
) -> None:
    routes, before = _closed(application), (len(house.billing.turns), await _everything(house))
    async with aiohttp.ClientSession(url) as session:
        intruder = Intruder(session, house, seed)
        ways: list[Callable[[], Any]] = [
            *[lambda: intruder.over_routes(routes)] * 6,
            intruder.over_openai,
            intruder.over_agui,
            intruder.over_graphql,
            intruder.over_websocket,
            intruder.over_turns_socket,
            intruder.over_mcp,
        ]
        met = set()
        for number in range(ATTEMPTS):
            status, text = await intruder.chance.choice(ways)()
            assert status in DENIED, (number, text)
            assert SECRET not in text
            met.add(status)
    assert (len(house.billing.turns), await _everything(house)) == before
    assert met == DENIED  # each kind of refusal was met


async def test_every_closed_route_is_closed(application: Starlette, url: str) -> None:
    """Not one that chance has left out."""
    async with aiohttp.ClientSession(url, headers=bearer(ACME)) as session:
        for route in _closed(application):
            path = re.sub(r"\{tenant\}", "globex", route.path)
            path = re.sub(r"\{[^}]*\}", "x", path)
            for method in sorted(route.methods or METHODS):
                async with session.request(method, path) as response:
                    assert response.status in DENIED, (method, path)


async def test_what_is_ones_own_is_reached_over_every_protocol(house: House, url: str) -> None:
    """Without this, a door that is shut to everybody would pass."""
    reached = {}
    run = {"threadId": "mine", "runId": "r", "messages": [
        {"id": "1", "role": "user", "content": "my bill"}]}  # fmt: skip
    model = {"model": "acme/web", "messages": [{"role": "user", "content": "my bill"}]}
    asked: dict[str, Any] = {
        "/apis/v1/acme/chat/mine/message": _conversation("my bill"),
        "/apis/v1/tenants/acme/channels/web/decision": {"text": "my bill"},
        "/a2a/acme/web/a2a/message:send": _message(),
        "/v1/chat/completions": model,
        "/v1/responses": {"model": "acme/web", "input": "my bill"},
        "/agui/acme/web": run,
        "/apis/v1/agents?tenantId=acme&channelId=web": None,
        "/apis/v1/agents/acme/web": None,
        "/a2a/acme/web/.well-known/agent-card.json": None,
        "/v1/models": None,
    }
    async with aiohttp.ClientSession(url, headers={"x-api-key": ACME}) as session:
        for path, body in asked.items():
            method = "POST" if body else "GET"
            async with session.request(method, path, json=body) as response:
                reached[path] = response.status, await response.text()
    assert {path: status for path, (status, _) in reached.items()} == dict.fromkeys(asked, 200)
    assert "globex" not in reached["/v1/models"][1]
    asked_for = _conversation("my bill")
    for path in ("/apis/v1/acme/chat/mine/ws", "/lmos/runtime/apis/v1/acme/chat/mine/ws"):
        async with (
            aiohttp.ClientSession(url, headers={"x-api-key": ACME}) as session,
            session.ws_connect(path) as socket,
        ):
            await socket.send_json({"type": "turn", "turnId": path[:5], **asked_for})
            assert (await socket.receive_json(timeout=5))["type"] == "started"
    assert all(turn.tenant == "acme" for turn in house.billing.turns[2:])


async def test_operators_reach_all_and_tenants_not_the_platform(house: House, url: str) -> None:
    group, events = "/apis/lmos.eclipse/v1/channelroutings", "/apis/v1/events?watch=false"
    statuses = {}
    async with aiohttp.ClientSession(url) as session:
        for key in (OPERATOR, ACME):
            for path in (group, events, "/forgotten", "/apis/v1/agents/globex/web"):
                for query in ("", "&tenant=acme" if "?" in path else "?tenant=acme"):
                    async with session.get(path + query, headers=bearer(key)) as response:
                        statuses.setdefault(key, set()).add(response.status)
    assert statuses == {OPERATOR: {200}, ACME: {403}}


async def test_whether_a_tenant_exists_cannot_be_found_out(url: str) -> None:
    answers = []
    async with aiohttp.ClientSession(url, headers=bearer(ACME)) as session:
        for name in ("globex", "nobody"):
            path = f"/apis/v1/{name}/chat/c/message"
            async with session.post(path, json=_conversation("hi")) as response:
                answers.append((await response.text()).replace(name, "NAME"))
            body = {"model": f"{name}/web", "messages": [{"role": "user", "content": "hi"}]}
            async with session.post("/v1/chat/completions", json=body) as response:
                answers.append((await response.text()).replace(name, "NAME"))
    assert answers[:2] == answers[2:]
