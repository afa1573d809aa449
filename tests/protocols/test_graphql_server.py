"""ARC's GraphQL over the wire, with what its own clients send and expect."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from protocol_agents import (
    Endless,
    Recording,
    a_turn,
    asking,
    broken,
    echo,
    events_of,
    failing,
    handing_over,
    rich,
    said,
)
from protocol_servers import Serve

from lmos.model import AnonymizationEntity, Done, Responder, Started, Turn, TurnEvent, errors
from lmos.protocols import graphql
from lmos.protocols.directory import one, several

#: As ARC's own client and its page write it: every input that the original requires is a variable.
QUERY = """
subscription Agent(
  $agentName: String, $context: ConversationContextInput!, $system: [SystemContextEntryInput!]!,
  $user: UserContextInput!, $messages: [MessageInput!]!
) {
  agent(
    agentName: $agentName,
    request: {
      conversationContext: $context, systemContext: $system, userContext: $user, messages: $messages
    }
  ) {
    status type responseTime
    toolCalls { name arguments }
    context { key value }
    anonymizationEntities { type value replacement }
    messages { content format role turnId binaryData { mimeType dataAsBase64 source } }
  }
}
"""


def message(text: str = "hi", role: str = "user", **more: Any) -> dict[str, Any]:
    found = {"role": role, "content": text, "format": "text", "turnId": None, "binaryData": None}
    return found | more


def variables(*messages: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    system = [{"key": key, "value": value} for key, value in more.pop("system", {}).items()]
    return {
        "agentName": None,
        "context": {"conversationId": "c-1", "turnId": "t-1", "anonymizationEntities": []},
        "system": system,
        "user": {"userId": "u-1", "userToken": None, "profile": []},
        "messages": list(messages) or [message()],
    } | more


class Socket:
    """A client that knows no more than ARC's own: ack, next, error and complete."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def begin(self) -> None:
        await self.socket.send_json({"type": "connection_init"})
        assert await self.socket.receive_json() == {"type": "connection_ack"}

    async def subscribe(self, given: Any, id_: str = "1", query: str = QUERY) -> None:
        payload = {"query": query, "variables": given}
        await self.socket.send_json({"type": "subscribe", "id": id_, "payload": payload})

    async def results(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]] | None]:
        """The results until the end, and the errors that ended it."""
        found = []
        while True:
            received = await self.socket.receive_json()
            match received["type"]:
                case "next":
                    assert received["payload"]["data"]["agent"] is not None
                    found.append(received["payload"]["data"]["agent"])
                case "error":
                    return found, received["payload"]
                case "complete":
                    return found, None
                case other:
                    raise AssertionError(f"ARC's client does not know {other!r}")

    async def ask(self, given: Any) -> list[dict[str, Any]]:
        await self.subscribe(given)
        found, failed = await self.results()
        assert failed is None
        return found

    async def fail(self, given: Any) -> dict[str, Any]:
        await self.subscribe(given)
        _, failed = await self.results()
        assert failed is not None
        return failed[0]


@asynccontextmanager
async def connected(
    url: str, *protocols: str, **more: Any
) -> AsyncGenerator[aiohttp.ClientWebSocketResponse, None]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/subscriptions", protocols=protocols, **more) as socket,
    ):
        yield socket


@asynccontextmanager
async def begun(serve: Serve, *responders: Responder, **more: Any) -> AsyncGenerator[Socket, None]:
    named = {f"agent-{number}": responder for number, responder in enumerate(responders)}
    url = await serve(graphql.routes(several(named), **more))
    async with connected(url) as raw:
        socket = Socket(raw)
        await socket.begin()
        yield socket


# --- what the original's clients rely on ----------------------------------------------------------


async def test_what_an_agent_says_in_between_then_one_message(serve: Serve) -> None:
    async with begun(serve, rich) as socket:
        status, whole = await socket.ask(variables())
    assert status == {
        "type": "INTERMEDIATE_MESSAGE",
        "status": None,
        "responseTime": status["responseTime"],
        "toolCalls": None,
        "context": None,
        "anonymizationEntities": None,
        "messages": [message("looking", "assistant")],
    }
    picture = {"mimeType": "image/png", "dataAsBase64": "iVBORw0=", "source": None}
    text = "Your bill is 42.50 EUR – paid.\n\nHere it is."
    assert whole == {
        "type": "MESSAGE",
        "status": None,
        "responseTime": whole["responseTime"],
        "toolCalls": [{"name": "get_bill", "arguments": '{"month":"latest","limit":3}'}],
        "context": [{"key": "bill", "value": "7"}],
        "anonymizationEntities": [],
        "messages": [message(text, "assistant", binaryData=[picture])],
    }
    assert 0 <= status["responseTime"] <= whole["responseTime"] < 5


async def test_pieces_and_events_come_to_those_who_ask_for_them(serve: Serve) -> None:
    async with begun(serve, rich) as socket:
        pieces = await socket.ask(variables(system={"enableStreaming": "true"}))
        events = await socket.ask(variables(system={"enableEventing": "true"}))
    streamed = [{"key": "streamed", "value": "true"}]
    said = [p["messages"][0]["content"] for p in pieces if p["context"] == streamed]
    assert said == ["Your bill ", "is 42.50 ", "EUR – paid."]
    assert [p["type"] for p in pieces] == [*["INTERMEDIATE_MESSAGE"] * 4, "MESSAGE"]
    told = [{e["key"]: e["value"] for e in r["context"]} for r in events if r["type"] == "EVENT"]
    assert [e["eventType"] for e in told] == [
        "AgentStartedEvent",
        "RouterRoutedEvent",
        "LLMFunctionStartedEvent",
        "LLMFunctionCalledEvent",
        "LLMFinishedEvent",
        "AgentFinishedEvent",
    ]
    data = [json.loads(e["eventData"]) for e in told]
    assert all(d["context"]["conversationId"] == "c-1" and d["timestamp"] for d in data)
    assert (data[3]["name"], data[3]["result"]) == ("get_bill", "42.50")
    assert data[3]["param"] == {"month": "latest", "limit": 3}
    keys = ("totalTokens", "promptTokens", "completionTokens", "functionCallCount")
    assert [data[4][key] for key in keys] == [15, 10, 5, 1]
    assert data[5]["flowBreak"] is False
    assert isinstance(data[5]["duration"], float)
    assert events[-1]["type"] == "MESSAGE"


async def test_the_request_reaches_the_responder(serve: Serve) -> None:
    asked = Recording()
    picture = {"mimeType": "image/png", "dataAsBase64": "aGk=", "source": None}
    entity = {"type": "NAME", "value": "Ann", "replacement": "<1>"}
    given = variables(
        message("hello", binaryData=[picture]),
        message("hi", "assistant", binaryData=[picture]),
        message("and now?"),
        system={"tenantId": "acme", "channelId": "web", "beta": "true"},
        context={"conversationId": "c-7", "turnId": "t-7", "anonymizationEntities": [entity]},
        user={"userId": "u", "userToken": "s", "profile": [{"key": "lang", "value": "en"}]},
    )
    async with begun(serve, asked) as socket:
        (whole,) = await socket.ask(given)
    (turn,) = asked.turns
    assert (turn.conversation_id, turn.turn_id, turn.text) == ("c-7", "t-7", "and now?")
    assert (turn.tenant, turn.channel, turn.agent) == ("acme", "web", None)
    assert turn.system_context["beta"] == "true"
    assert (turn.user.id, turn.user.token, turn.user.profile) == ("u", "s", {"lang": "en"})
    assert [len(m.binary_data) for m in turn.messages] == [1, 0, 0]
    assert whole["anonymizationEntities"] == [entity]


@pytest.mark.parametrize(
    ("context", "last", "expected"), [("a", "b", "a"), (None, "b", "b"), (None, None, "2")]
)
async def test_the_id_of_a_turn(
    serve: Serve, context: str | None, last: str | None, expected: str
) -> None:
    asked = Recording()
    given = variables(
        message("a", "assistant", turnId="no"),
        message(turnId=last),
        context={"conversationId": "c", "turnId": context},
    )
    async with begun(serve, asked) as socket:
        await socket.ask(given)
    assert asked.turns[0].turn_id == expected


async def test_headers_and_path_say_what_the_request_does_not(serve: Serve) -> None:
    asked = Recording()
    prefix = "/graphql/{tenant}/{channel}"
    url = await serve(graphql.routes(one("a", asked), prefix=prefix))
    headers = {"x-subset": "canary", "traceparent": "00-1-2-01"}
    async with connected(f"{url}/graphql/acme/ivr", headers=headers) as raw:
        socket = Socket(raw)
        await socket.begin()
        await socket.ask(variables())
    turn = asked.turns[0]
    assert (turn.tenant, turn.channel, turn.subset) == ("acme", "ivr", "canary")
    assert turn.trace == {"traceparent": "00-1-2-01"}


async def test_a_turn_has_the_time_that_the_header_gives_it(serve: Serve) -> None:
    url = await serve(graphql.routes(several({"slow": Endless(), "asked": (asked := Recording())})))
    async with connected(url, headers={"x-turn-timeout": "0.2"}) as raw:
        socket = Socket(raw)
        await socket.begin()
        failed = await socket.fail(variables(agentName="slow"))
        await socket.ask(variables(agentName="asked"))  # the next one has as long again
    assert failed["extensions"]["code"] == "DEADLINE_EXCEEDED"
    assert asked.turns[0].deadline is not None
    headers = {"x-turn-timeout": "soon"}
    body = {"query": QUERY, "variables": variables()}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{url}/graphql", json=body) as response,
    ):
        assert response.status == 400
        assert "x-turn-timeout" in await response.text()


async def test_agents_are_picked_by_name_and_never_by_guess(serve: Serve) -> None:
    async with begun(serve, echo, rich) as socket:
        assert "hi" in (await socket.ask(variables()))[-1]["messages"][0]["content"]
        second = await socket.ask(variables(agentName="agent-1"))
        assert "Your bill" in second[-1]["messages"][0]["content"]
        failed = await socket.fail(variables(agentName="agent-7"))
    assert failed["extensions"]["code"] == "AGENT_NOT_FOUND"
    assert "agent-0, agent-1" in failed["message"]


async def test_endings_other_than_an_answer(serve: Serve) -> None:
    async with begun(serve, handing_over, asking, failing, broken) as socket:
        (handed,) = await socket.ask(variables())
        (question,) = await socket.ask(variables(agentName="agent-1"))
        failed = await socket.fail(variables(agentName="agent-2"))
        inner = await socket.fail(variables(agentName="agent-3"))
    assert handed["status"] == "AGENT_HANDOVER[billing-agent]"
    assert handed["messages"] == [message("not my job", "assistant")]
    assert question["status"] is None
    assert {"key": "inputRequired", "value": "true"} in question["context"]
    assert failed["message"] == "too many turns"
    assert failed["extensions"] == {"code": "OVERLOADED", "details": {"retry_after": 7}}
    assert "secret" not in json.dumps(inner)


async def test_a_classification_is_the_status(serve: Serve) -> None:
    async def unresolved(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        yield Started(agent="a")
        entity = AnonymizationEntity(type="NAME", value="Bob", replacement="<2>")
        context = {"classification": "UNRESOLVED"}
        yield said("I do not know.", context=context, anonymization_entities=(entity,))
        yield Done()

    async with begun(serve, unresolved) as socket:
        (whole,) = await socket.ask(variables())
    assert whole["status"] == "UNRESOLVED"
    assert whole["anonymizationEntities"][0]["value"] == "Bob"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (variables(message(role="system")), "'system'"),
        (variables(message("x" * 100_001)), "100001 characters"),
        (variables(*[message()] * 201), "201 messages"),
        (variables(message(role="assistant")), "the last message must be the user's"),
        (variables(system={str(n): "" for n in range(201)}), "201 entries"),
        (variables(context={"conversationId": " "}), "conversation id is empty"),
        (variables() | {"messages": None}, "MessageInput"),
    ],
)
async def test_what_is_wrong_with_a_request_is_said(
    serve: Serve, given: dict[str, Any], words: str
) -> None:
    asked = Recording()
    async with begun(serve, asked) as socket:
        assert words in (await socket.fail(given))["message"]
        assert len(await socket.ask(variables())) == 1  # the connection goes on
    assert len(asked.turns) == 1


# --- the sub-protocol -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [((), None), (("graphql-transport-ws",), "graphql-transport-ws"), (("graphql-ws",), None)],
)
async def test_the_sub_protocol(serve: Serve, offered: tuple[str, ...], chosen: str | None) -> None:
    url = await serve(graphql.routes(one("echo", echo)))
    async with connected(url, *offered) as socket:
        assert socket.protocol == chosen
        if offered == ("graphql-ws",):
            await socket.receive()
            assert socket.close_code == 4406
        else:
            await Socket(socket).begin()


BAD: list[tuple[list[Any], int]] = [
    (["{"], 4400),
    (["[]"], 4400),
    ([{"type": "start"}], 4400),
    ([b"\0"], 4400),
    ([{"type": "subscribe", "id": "1", "payload": {}}], 4401),
    ([{"type": "connection_init"}, {"type": "connection_init"}], 4429),
    ([{"type": "connection_init"}, {"type": "subscribe", "payload": {}}], 4400),
    (["x" * (1024 * 1024 + 1)], 1009),
]


@pytest.mark.parametrize(("messages", "code"), BAD)
async def test_what_is_not_allowed_closes_the_connection(
    serve: Serve, messages: list[Any], code: int
) -> None:
    url = await serve(graphql.routes(one("echo", echo)))
    async with connected(url) as socket:
        for sent in messages:
            if isinstance(sent, bytes):
                await socket.send_bytes(sent)
            else:
                await socket.send_str(sent if isinstance(sent, str) else json.dumps(sent))
        async with asyncio.timeout(5):
            while (await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
        assert socket.close_code == code


async def test_a_silent_client_is_let_go(serve: Serve) -> None:
    limits = graphql.Limits(init_seconds=0.05)
    url = await serve(graphql.routes(one("echo", echo), limits=limits))
    async with connected(url) as socket, asyncio.timeout(5):
        await socket.receive()
    assert socket.close_code == 4408


async def test_an_id_is_used_once_at_a_time(serve: Serve) -> None:
    endless = Endless()
    async with begun(serve, endless) as socket:
        async with asyncio.timeout(5):
            await socket.subscribe(variables())
            await endless.began.wait()
            await socket.subscribe(variables())
            await socket.socket.receive()
            await endless.closed.wait()
    assert socket.socket.close_code == 4409


async def test_operations_of_a_connection_run_side_by_side_up_to_a_number(serve: Serve) -> None:
    limits = graphql.Limits(subscriptions=2)
    endless = Endless()
    async with begun(serve, endless, rich, limits=limits) as socket:
        await socket.subscribe(variables(), "a")
        found = await socket.ask(variables(agentName="agent-1"))
        assert found[-1]["type"] == "MESSAGE"
        await socket.subscribe(variables(), "b")
        await socket.subscribe(variables(), "c")
        refused = await socket.socket.receive_json()
        assert refused["id"] == "c"
        assert refused["payload"][0]["extensions"]["code"] == "OVERLOADED"


async def test_pings_of_a_client_are_answered(serve: Serve) -> None:
    async with begun(serve, echo) as socket:
        await socket.socket.send_json({"type": "ping"})
        await socket.socket.send_json({"type": "pong"})
        assert await socket.socket.receive_json() == {"type": "pong"}


@pytest.mark.parametrize("how", ["complete", "close", "abort"])
async def test_a_client_that_leaves_ends_the_turn(serve: Serve, how: str) -> None:
    endless = Endless()
    async with begun(serve, endless) as socket:
        await socket.subscribe(variables(system={"enableStreaming": "true"}))
        async with asyncio.timeout(5):
            await socket.socket.receive_json()
            if how == "complete":
                await socket.socket.send_json({"type": "complete", "id": "1"})
            elif how == "close":
                await socket.socket.close()
            else:
                connection = socket.socket._response.connection
                assert connection is not None
                assert connection.transport is not None
                connection.transport.abort()
            await endless.closed.wait()


# --- HTTP -----------------------------------------------------------------------------------------


@asynccontextmanager
async def asked_over_http(url: str, **more: Any) -> AsyncGenerator[aiohttp.ClientResponse, None]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(more.pop("method", "POST"), f"{url}/graphql", **more) as response,
    ):
        yield response


class Tools:
    def list(self) -> list[graphql.Tool]:
        return [graphql.Tool("add", "adds two numbers", {"type": "object"})]

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        if name != "add":
            raise errors.NotFound(f"there is no tool {name!r}")
        return str(arguments["a"] + arguments["b"])


async def test_agents_and_tools_are_listed_and_called(serve: Serve) -> None:
    url = await serve(graphql.routes(several({"b": echo, "a": echo}), tools=Tools(), calling=True))
    query = "{ agent { names } tool { tools { name description parameters } } }"
    async with asked_over_http(url, json={"query": query}) as response:
        assert (await response.json())["data"] == {
            "agent": {"names": ["b", "a"]},
            "tool": {
                "tools": [
                    {
                        "name": "add",
                        "description": "adds two numbers",
                        "parameters": '{"type":"object"}',
                    }
                ]
            },
        }
    call = "mutation($n: String!, $p: String) { tool(name: $n, parameters: $p) { result error } }"
    for name, parameters, expected in (
        ("add", '{"a": 1, "b": 2}', {"result": "3", "error": None}),
        ("sub", None, {"result": None, "error": "there is no tool 'sub'"}),
        ("add", "[]", {"result": None, "error": "parameters is a JSON list, not an object"}),
    ):
        body = {"query": call, "variables": {"n": name, "p": parameters}}
        async with asked_over_http(url, json=body) as response:
            assert (await response.json())["data"]["tool"] == expected
    params = {"query": 'mutation { tool(name: "add") { result } }'}
    async with asked_over_http(url, method="GET", params=params) as response:
        assert (response.status, response.headers["allow"]) == (405, "POST")


async def test_what_is_switched_off_is_not_in_the_schema(serve: Serve) -> None:
    url = await serve(graphql.routes(one("echo", echo)))
    query = "{ __schema { mutationType { name } types { name } } }"
    async with asked_over_http(url, json={"query": query}) as response:
        found = (await response.json())["data"]["__schema"]
    names = {kind["name"] for kind in found["types"]}
    assert found["mutationType"] is None
    assert {"Agents", "AgentResult", "AgentRequestInput", "AgentResultType"} <= names
    assert not {"Tools", "ToolExecutionResult", "AgentEvent"} & names
    with pytest.raises(errors.InvalidInput):
        graphql.routes(one("echo", echo), calling=True)


HOSTILE = {
    "deep": "{ __schema { types " + "{ ofType " * 40 + "{ name }" + "}" * 40 + " } }",
    "nested lists": "{ __schema { types { fields { type { fields { type { fields { name }}}}}}}}",
    "wide": "{" + " ".join(f"a{n}: agent {{ names }}" for n in range(600)) + "}",
    "fragments": "{ __schema { types { ...f0 } } }"
    + "".join(
        f" fragment f{n} on __Type {{ a: ofType {{ ...f{n + 1} }} b: ofType {{ ...f{n + 1} }} }}"
        for n in range(12)
    )
    + " fragment f12 on __Type { name }",
    "a circle": "{ __schema { types { ...f } } } fragment f on __Type { ofType { ...f } }",
    "long": "{ agent { names } } #" + "x" * 20_000,
    "comments": "{ agent { names } }" + "#\n" * 3_000,
    "tokens": "{ agent { names } " + "a " * 5_000 + "}",
    "brackets": "{" * 3_000,
}


@pytest.mark.parametrize("case", HOSTILE)
async def test_hostile_queries_are_refused_at_once(serve: Serve, case: str) -> None:
    url = await serve(graphql.routes(one("echo", echo)))
    headers = {"accept": "application/graphql-response+json"}
    async with asyncio.timeout(2):
        async with asked_over_http(url, json={"query": HOSTILE[case]}, headers=headers) as response:
            assert response.status == 400
            found = (await response.json(content_type=None))["errors"]
        async with asked_over_http(url, json={"query": "{ agent { names } }"}) as response:
            assert response.status == 200
    assert 0 < len(found) <= 6


async def test_what_tools_ask_the_schema_is_answered(serve: Serve) -> None:
    from graphql import build_client_schema, get_introspection_query, print_type

    url = await serve(graphql.routes(one("echo", echo)))
    async with asked_over_http(url, json={"query": get_introspection_query()}) as response:
        schema = build_client_schema((await response.json())["data"])
    assert print_type(schema.type_map["AgentResultType"]) == (
        "enum AgentResultType {\n  MESSAGE\n  INTERMEDIATE_MESSAGE\n  EVENT\n  ERROR\n}"
    )


REQUEST = {
    "conversationContext": {"conversationId": "c"},
    "messages": [{"role": "user", "content": "hi"}],
}
SHORT = "subscription($r: AgentRequestInput!) { agent(request: $r) { type messages { content } } }"


async def test_a_turn_as_an_event_stream(serve: Serve) -> None:
    url = await serve(graphql.routes(several({"rich": rich})))
    body = {"query": SHORT, "variables": {"r": REQUEST}}
    headers = {"accept": "text/event-stream"}
    async with asked_over_http(url, json=body, headers=headers) as response:
        assert response.content_type == "text/event-stream"
        events = (await response.text()).strip().split("\n\n")
    assert [event.split("\n")[0] for event in events] == [
        ":",
        "event: next",
        "event: next",
        "event: complete",
    ]
    params = {"query": SHORT, "variables": json.dumps({"r": REQUEST})}
    async with asked_over_http(url, method="GET", params=params, headers=headers) as response:
        assert (await response.text()).count("event: next") == 2


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        (
            {
                "json": {"query": SHORT, "variables": {"r": REQUEST}},
                "headers": {"accept": "application/json"},
            },
            400,
            "/subscriptions",
        ),
        ({"data": b"{}", "headers": {"content-type": "text/plain"}}, 400, "content type"),
        ({"data": b"{", "headers": {"content-type": "application/json"}}, 400, "not JSON"),
        ({"json": {"query": "{a}"}, "headers": {"accept": "text/html"}}, 400, "answers with"),
        ({"json": {"query": "{a}"}, "headers": {"x-subset": "s" * 999}}, 200, "'a'"),
        ({"json": {"query": "{agent{names}}"}, "headers": {"x-subset": "s" * 999}}, 400, "subset"),
        ({"json": {"query": "query a {agent{names}} query b {agent{names}}"}}, 200, "name one"),
        ({"method": "PUT"}, 405, ""),
    ],
)
async def test_requests_that_are_wrong(
    serve: Serve, more: dict[str, Any], status: int, words: str
) -> None:
    url = await serve(graphql.routes(one("echo", echo)))
    async with asked_over_http(url, **more) as response:
        assert response.status == status
        assert words in await response.text()


async def test_a_stream_that_is_left_ends_the_turn(serve: Serve) -> None:
    endless = Endless()
    url = await serve(graphql.routes(one("endless", endless)))
    system = [{"key": "enableStreaming", "value": "true"}]
    body = {"query": SHORT, "variables": {"r": REQUEST | {"systemContext": system}}}
    async with (
        asyncio.timeout(5),
        asked_over_http(url, json=body, headers={"accept": "text/event-stream"}) as response,
    ):
        await response.content.readline()
        response.close()
        await endless.closed.wait()


# --- events ---------------------------------------------------------------------------------------


async def test_whoever_subscribes_to_events_hears_of_every_turn(serve: Serve) -> None:
    feed = graphql.Feed()
    agent = feed.watched(rich)
    query = "subscription { events { type payload conversationId turnId } }"
    url = await serve(graphql.routes(one("rich", agent), events=feed.events))
    async with connected(url) as raw, asyncio.timeout(5):
        socket = Socket(raw)
        await socket.begin()
        await socket.subscribe({}, query=query)
        while not feed.listeners:
            await asyncio.sleep(0)
        await events_of(agent, a_turn(conversation_id="c-9"))
        types = []
        while "AgentFinishedEvent" not in types:
            event = (await raw.receive_json())["payload"]["data"]["events"]
            assert (event["conversationId"], event["turnId"]) == ("c-9", "t-1")
            assert json.loads(event["payload"])["timestamp"]
            types.append(event["type"])
    assert types[0] == "AgentStartedEvent"
    assert "LLMFunctionCalledEvent" in types


async def test_a_quiet_stream_of_events_begins_at_once(serve: Serve) -> None:
    feed = graphql.Feed()
    url = await serve(graphql.routes(one("echo", echo), events=feed.events))
    body = {"query": "subscription { events { type } }"}
    headers = {"accept": "text/event-stream"}
    async with asyncio.timeout(5), asked_over_http(url, json=body, headers=headers) as response:
        assert await response.content.readuntil(b"\n\n") == b":\n\n"
        while not feed.listeners:
            await asyncio.sleep(0)
        feed.publish(graphql.AgentEvent("Something", "{}"))
        found = await response.content.readuntil(b"\n\n")
        assert found == b'event: next\ndata: {"data":{"events":{"type":"Something"}}}\n\n'
        response.close()
        while feed.listeners:
            await asyncio.sleep(0)


async def test_a_slow_subscriber_misses_the_oldest_events() -> None:
    feed = graphql.Feed(waiting=2)
    events = feed.events()
    first = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    for number in range(4):
        feed.publish(graphql.AgentEvent(str(number), "{}"))
    assert [(await first).type, (await anext(events)).type] == ["2", "3"]
    await events.aclose()
