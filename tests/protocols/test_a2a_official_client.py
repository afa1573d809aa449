"""The official A2A client against our server, in both bindings, streaming and not."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from a2a.client import A2ACardResolver, Client, ClientConfig, create_client
from a2a.client.client_factory import ClientFactory
from a2a.helpers import get_artifact_text, get_message_text, new_text_message
from a2a.types import (
    AgentCard,
    CancelTaskRequest,
    GetTaskRequest,
    Role,
    SendMessageRequest,
    StreamResponse,
    Task,
    TaskState,
)
from a2a.utils.errors import TaskNotCancelableError, TaskNotFoundError, UnsupportedOperationError
from google.protobuf.json_format import MessageToDict, ParseDict
from protocol_agents import (
    Endless,
    Recording,
    asking,
    echo,
    failing_late,
    handing_over,
    rich,
)
from protocol_servers import Serve

from lmos.model import Capability, Description, Responder
from lmos.protocols import a2a, http

DESCRIPTION = Description(
    name="billing-agent",
    version="1.2.0",
    description="Bills",
    capabilities=(
        Capability(
            id="view_bill",
            name="view-bill",
            version="2.0.0",
            description="shows a bill",
            examples=("show me my bill",),
        ),
    ),
)
BINDINGS = ["JSONRPC", "HTTP+JSON"]


@asynccontextmanager
async def client_of(url: str, binding: str, streaming: bool = True) -> AsyncGenerator[Client, None]:
    config = ClientConfig(supported_protocol_bindings=[binding], streaming=streaming)
    client = await create_client(url, config)
    try:
        yield client
    finally:
        await client.close()


def request(text: str, **ids: str) -> SendMessageRequest:
    message = new_text_message(text, role=Role.ROLE_USER)
    message.context_id = ids.get("context_id", "c-1")
    message.task_id = ids.get("task_id", "")
    return SendMessageRequest(message=message)


async def ask(client: Client, text: str, **ids: str) -> list[StreamResponse]:
    return [update async for update in client.send_message(request(text, **ids))]


async def serve_agent(serve: Serve, responder: Responder) -> str:
    return await serve(a2a.routes(responder, DESCRIPTION))


def kinds(updates: list[StreamResponse]) -> list[str | None]:
    return [update.WhichOneof("payload") for update in updates]


@pytest.mark.parametrize("binding", BINDINGS)
async def test_an_answer_streams_as_an_artifact(serve: Serve, binding: str) -> None:
    async with client_of(await serve_agent(serve, rich), binding) as client:
        updates = await ask(client, "my bill")
    assert kinds(updates)[0] == "task"
    assert updates[0].task.context_id == "c-1"
    pieces = [u.artifact_update for u in updates if u.HasField("artifact_update")]
    first = [p for p in pieces if p.artifact.artifact_id == "answer-1"]
    assert "".join(get_artifact_text(p.artifact) for p in first) == "Your bill is 42.50 EUR – paid."
    assert [p.append for p in first] == [False, True, True, True]
    assert [p.last_chunk for p in first] == [False, False, False, True]
    second = pieces[-1]
    assert get_artifact_text(second.artifact) == "Here it is."
    assert second.artifact.parts[1].media_type == "image/png"
    statuses = [u.status_update.status for u in updates if u.HasField("status_update")]
    assert "looking" in [get_message_text(s.message) for s in statuses]
    assert statuses[-1].state == TaskState.TASK_STATE_COMPLETED


@pytest.mark.parametrize("binding", BINDINGS)
async def test_without_streaming_the_task_holds_the_whole_answer(
    serve: Serve, binding: str
) -> None:
    async with client_of(await serve_agent(serve, rich), binding, streaming=False) as client:
        (update,) = await ask(client, "my bill")
        again = await client.get_task(GetTaskRequest(id=update.task.id))
    task = update.task
    assert task.status.state == TaskState.TASK_STATE_COMPLETED
    assert [get_artifact_text(a) for a in task.artifacts] == [
        "Your bill is 42.50 EUR – paid.",
        "Here it is.",
    ]
    assert again.artifacts == task.artifacts


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_question_is_answered_in_the_same_task(serve: Serve, binding: str) -> None:
    asked = Recording(asking)
    async with client_of(await serve_agent(serve, asked), binding) as client:
        updates = await ask(client, "my account")
        status = updates[-1].status_update
        assert status.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
        assert get_message_text(status.status.message) == "Which account?"
        updates = await ask(client, "12", task_id=status.task_id)
        assert updates[0].task.id == status.task_id
        assert updates[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED
        with pytest.raises(UnsupportedOperationError, match="does not wait"):
            await ask(client, "13", task_id=status.task_id)
    assert [turn.conversation_id for turn in asked.turns] == ["c-1", "c-1"]


@pytest.mark.parametrize(
    ("responder", "state", "words"),
    [
        (failing_late, TaskState.TASK_STATE_FAILED, "the agent fell over"),
        (handing_over, TaskState.TASK_STATE_REJECTED, "not my job"),
    ],
)
async def test_what_is_no_answer_ends_the_task_with_words(
    serve: Serve, responder: Responder, state: "TaskState", words: str
) -> None:
    async with client_of(await serve_agent(serve, responder), "JSONRPC") as client:
        status = (await ask(client, "x"))[-1].status_update.status
    assert (status.state, get_message_text(status.message)) == (state, words)


@pytest.mark.parametrize("binding", BINDINGS)
async def test_cancelling_a_task_stops_its_turn(serve: Serve, binding: str) -> None:
    endless = Endless()
    async with client_of(await serve_agent(serve, endless), binding) as client:
        updates: list[StreamResponse] = []
        async with asyncio.timeout(5):
            async for update in client.send_message(request("x")):
                updates.append(update)
                if update.HasField("artifact_update"):
                    task = await client.cancel_task(CancelTaskRequest(id=updates[0].task.id))
                    assert task.status.state == TaskState.TASK_STATE_CANCELED
            await endless.closed.wait()
        assert updates[-1].status_update.status.state == TaskState.TASK_STATE_CANCELED
        with pytest.raises(TaskNotCancelableError):
            await client.cancel_task(CancelTaskRequest(id=updates[0].task.id))
        with pytest.raises(TaskNotFoundError):
            await client.get_task(GetTaskRequest(id="nope"))


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_client_that_leaves_closes_the_responder(
    serve: Serve, binding: str, streaming: bool
) -> None:
    endless = Endless()
    async with client_of(await serve_agent(serve, endless), binding, streaming) as client:
        asking_task = asyncio.create_task(ask(client, "x"))
        async with asyncio.timeout(5):
            await endless.began.wait()
            asking_task.cancel()
            await asyncio.gather(asking_task, return_exceptions=True)
            await endless.closed.wait()


async def test_metadata_comes_only_to_those_who_asked_for_it(serve: Serve) -> None:
    url = await serve_agent(serve, echo)
    body = MessageToDict(request("hi"))
    session = http.session()
    async with session.post(f"{url}/a2a/message:send", json=body) as response:
        assert "metadata" not in (await response.json())["task"]
    asked = {"A2A-Extensions": a2a.EXTENSION}
    async with session.post(f"{url}/a2a/message:send", json=body, headers=asked) as response:
        events = (await response.json())["task"]["metadata"][a2a.EXTENSION]["events"]
    assert [event["type"] for event in events] == ["started", "message", "done"]


async def test_everything_said_is_of_the_protocols_types(serve: Serve) -> None:
    """Strictly: a field that A2A does not have is an error here."""
    url = await serve_agent(serve, rich)
    body = {"jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage"}
    asked = {"A2A-Extensions": a2a.EXTENSION}
    call = body | {"params": MessageToDict(request("hi"))}
    seen: list[dict[str, Any]] = []
    async with http.session().post(f"{url}/a2a", json=call, headers=asked) as response:
        async for line in response.content:
            if line.startswith(b"data: "):
                result = http.parse_json(line[6:])["result"]
                ParseDict(result, StreamResponse())
                seen.append(result)
    task_id = seen[0]["task"]["id"]
    async with http.session().get(f"{url}/a2a/tasks/{task_id}") as response:
        ParseDict(await response.json(), Task())
    async with http.session().get(f"{url}/.well-known/agent-card.json") as response:
        ParseDict(await response.json(), AgentCard())
    assert len(seen) > 8


# --- the card -------------------------------------------------------------------------------------


async def test_the_card_points_back_at_where_it_was_found(serve: Serve) -> None:
    url = await serve_agent(serve, echo)
    forwarded = {"x-forwarded-proto": "https", "x-forwarded-host": "lmos.example, inner"}
    for headers, base in (({}, url), (forwarded, "https://lmos.example")):
        for path in ("agent-card.json", "agent.json"):
            place = f"{url}/.well-known/{path}"
            async with http.session().get(place, headers=headers) as response:
                card = await response.json()
            assert [i["url"] for i in card["supportedInterfaces"]] == [f"{base}/a2a"] * 2


async def test_a_url_of_the_agents_own_wins(serve: Serve) -> None:
    own = DESCRIPTION.but(url="https://agents.example/billing")
    url = await serve(a2a.routes(echo, own))
    async with http.session().get(f"{url}/.well-known/agent-card.json") as response:
        card = await response.json()
    assert card["supportedInterfaces"][0]["url"] == "https://agents.example/billing/a2a"


async def test_a_forged_host_is_refused(serve: Serve) -> None:
    url = await serve_agent(serve, echo)
    headers = {"x-forwarded-host": 'evil.example/"><script>'}
    async with http.session().get(
        f"{url}/.well-known/agent-card.json", headers=headers
    ) as response:
        assert response.status == 400


async def test_a_channel_is_an_agent_too(serve: Serve) -> None:
    asked = Recording()
    routes = a2a.routes(
        asked,
        lambda request: DESCRIPTION.but(name=request.path_params["channel"]),
        prefix="/a2a/{tenant}/{channel}",
    )
    url = f"{await serve(routes)}/a2a/globex/mobile"
    async with client_of(url, "HTTP+JSON") as client:
        updates = await ask(client, "hi")
        task = updates[0].task.id
        assert (await client.get_task(GetTaskRequest(id=task))).id == task
    assert (asked.turns[0].tenant, asked.turns[0].channel) == ("globex", "mobile")
    other = url.replace("globex", "acme")
    async with client_of(other, "JSONRPC") as client:
        with pytest.raises(TaskNotFoundError):
            await client.get_task(GetTaskRequest(id=task))
    import httpx

    async with httpx.AsyncClient() as plain:
        card = await A2ACardResolver(plain, url).get_agent_card()
    assert card.name == "mobile"
    await ClientFactory().create(card).close()
