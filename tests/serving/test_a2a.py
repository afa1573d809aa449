"""The official A2A client against real agents, in all three transports."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc.aio
import pytest
from a2a.client import Client, ClientCallContext, ClientConfig, create_client
from a2a.helpers import get_artifact_text, get_message_text, new_text_message
from a2a.types import (
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    Part,
    Role,
    SendMessageRequest,
    StreamResponse,
    SubscribeToTaskRequest,
    TaskPushNotificationConfig,
    TaskState,
    a2a_pb2_grpc,
)
from a2a.utils.errors import (
    A2AError,
    PushNotificationNotSupportedError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Value
from serving_parts import KEY, Knowing, payer, served, talker

from lmos import Agent, Context
from lmos.arc.serving import Settings
from lmos.llm import Call, ScriptedModel
from lmos.protocols.auth import Auth

BINDINGS = ["JSONRPC", "HTTP+JSON", "GRPC"]
everywhere = pytest.mark.parametrize("binding", BINDINGS)


@asynccontextmanager
async def client_of(url: str, binding: str, streaming: bool = True) -> AsyncGenerator[Client, None]:
    config = ClientConfig(
        supported_protocol_bindings=[binding],
        streaming=streaming,
        grpc_channel_factory=grpc.aio.insecure_channel,
    )
    client = await create_client(url, config)
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def asking(
    agent: Agent[Any, Any], binding: str, streaming: bool = True
) -> AsyncGenerator[Client, None]:
    settings = Settings(grpc="127.0.0.1:0" if binding == "GRPC" else "")
    async with served(agent, settings) as url, client_of(url, binding, streaming) as client:
        yield client


def request(text: str, *parts: Part, **ids: str) -> SendMessageRequest:
    message = new_text_message(text, role=Role.ROLE_USER)
    if parts:
        del message.parts[:]
        message.parts.extend(parts)
    message.context_id = ids.get("context_id", "c-1")
    message.task_id = ids.get("task_id", "")
    return SendMessageRequest(message=message)


async def ask(client: Client, text: str, *parts: Part, **ids: str) -> list[StreamResponse]:
    return [update async for update in client.send_message(request(text, *parts, **ids))]


def text_of(updates: list[StreamResponse]) -> str:
    pieces = [u.artifact_update.artifact for u in updates if u.HasField("artifact_update")]
    return "".join(get_artifact_text(piece) for piece in pieces)


@everywhere
async def test_an_answer_streams(binding: str) -> None:
    async with asking(talker(), binding) as client:
        updates = await ask(client, "hi")
    assert text_of(updates) == "Hello there, friend."
    assert len(updates) > 4
    assert updates[0].task.context_id == "c-1"
    assert updates[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED


@everywhere
async def test_an_answer_as_a_whole(binding: str) -> None:
    async with asking(talker(), binding, streaming=False) as client:
        (update,) = await ask(client, "hi")
        again = await client.get_task(GetTaskRequest(id=update.task.id))
    assert [get_artifact_text(a) for a in update.task.artifacts] == ["Hello there, friend."]
    assert again.artifacts == update.task.artifacts


def verdict(said: str) -> Part:
    return Part(data=ParseDict({"approval": said}, Value()))


@everywhere
@pytest.mark.parametrize("reply", ["yes", "no", "approved", "denied"])
async def test_a_sensitive_tool_is_approved_in_the_same_task(binding: str, reply: str) -> None:
    agent = payer()
    async with asking(agent, binding) as client:
        asked = (await ask(client, "pay 12"))[-1].status_update
        assert asked.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
        assert "yes or no" in get_message_text(asked.status.message)
        (wanted,) = MessageToDict(asked.status.message.parts[-1])["data"]["approval"]
        assert (wanted["tool"], wanted["arguments"]) == ("pay", {"amount": 12})
        assert not agent.paid  # type: ignore[attr-defined]
        parts = [verdict(reply)] if reply in ("approved", "denied") else []
        updates = await ask(client, reply, *parts, task_id=asked.task_id, context_id="c-1")
        assert updates[0].task.id == asked.task_id
        assert updates[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED
        with pytest.raises(UnsupportedOperationError, match="does not wait"):
            await ask(client, "again", task_id=asked.task_id)
    assert agent.paid == ([12] if reply in ("yes", "approved") else [])  # type: ignore[attr-defined]


def endless() -> tuple[Agent[Any, Any], asyncio.Event, asyncio.Event]:
    """An agent whose tool never ends, when it began and when it was stopped."""
    agent: Agent[Any, Any] = Agent(name="endless", model=ScriptedModel(Call("wait")).model)
    began, stopped = asyncio.Event(), asyncio.Event()

    @agent.tool
    async def wait(ctx: Context) -> str:
        """Waits."""
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return ""

    return agent, began, stopped


@everywhere
async def test_cancelling_stops_the_turn(binding: str) -> None:
    agent, began, stopped = endless()
    async with asking(agent, binding) as client, asyncio.timeout(10):
        updates: list[StreamResponse] = []
        async for update in client.send_message(request("x")):
            updates.append(update)
            if len(updates) == 1:
                await began.wait()
                task = await client.cancel_task(CancelTaskRequest(id=update.task.id))
                assert task.status.state == TaskState.TASK_STATE_CANCELED
        await stopped.wait()
        assert updates[-1].status_update.status.state == TaskState.TASK_STATE_CANCELED
        with pytest.raises(TaskNotCancelableError):
            await client.cancel_task(CancelTaskRequest(id=updates[0].task.id))


@everywhere
@pytest.mark.parametrize("streaming", [True, False])
async def test_a_client_that_leaves_stops_the_turn(binding: str, streaming: bool) -> None:
    agent, began, stopped = endless()
    settings = Settings(grpc="127.0.0.1:0")
    async with served(agent, settings) as url, asyncio.timeout(10):
        async with client_of(url, binding, streaming) as client:
            task = asyncio.create_task(ask(client, "x"))
            await began.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await stopped.wait()


@everywhere
async def test_what_is_not_there_and_not_offered_is_told_as_such(binding: str) -> None:
    async with asking(talker(), binding) as client:
        with pytest.raises(TaskNotFoundError):
            await client.get_task(GetTaskRequest(id="nope"))
        with pytest.raises(UnsupportedOperationError):
            await client.list_tasks(ListTasksRequest())
        with pytest.raises(UnsupportedOperationError):
            async for _ in client.subscribe(SubscribeToTaskRequest(id="x")):
                pass
        with pytest.raises(PushNotificationNotSupportedError):
            await client.create_task_push_notification_config(
                TaskPushNotificationConfig(task_id="x", url="https://hook.example")
            )
        with pytest.raises(A2AError, match=r"empty|at least|required|must"):
            await ask(client, "", Part(text=" "))


@everywhere
async def test_several_agents_each_answer_for_themselves(binding: str) -> None:
    settings = Settings(grpc="127.0.0.1:0")
    agents = [talker("first", "I am the first."), talker("second", "I am the second.")]
    async with served(agents, settings) as url:
        for name in ("first", "second"):
            async with client_of(f"{url}/agents/{name}", binding) as client:
                updates = await ask(client, "who are you?")
                task = await client.get_task(GetTaskRequest(id=updates[0].task.id))
            assert text_of(updates) == f"I am the {name}."
            assert task.status.state == TaskState.TASK_STATE_COMPLETED


@everywhere
async def test_credentials_count_in_every_transport(binding: str) -> None:
    knowing = Knowing()
    settings = Settings(auth=Auth(keys=[KEY]), grpc="127.0.0.1:0")
    async with served(knowing.agent, settings) as url, client_of(url, binding) as client:
        with pytest.raises(A2AError, match=r"401|UNAUTHENTICATED"):
            await ask(client, "x")
        known = ClientCallContext(service_parameters={"Authorization": f"Bearer {KEY}"})
        updates = [u async for u in client.send_message(request("x"), context=known)]
    assert text_of(updates) == "ok"
    assert len(knowing.contexts) == 1


@everywhere
async def test_a_caller_with_credentials_lists_its_tasks(binding: str) -> None:
    settings = Settings(auth=Auth(keys=[KEY]), grpc="127.0.0.1:0")
    known = ClientCallContext(service_parameters={"Authorization": f"Bearer {KEY}"})
    async with served(talker(), settings) as url, client_of(url, binding) as client:
        ids = []
        for number in range(5):
            asked = request("hi", context_id=f"c-{number % 2}")
            updates = [u async for u in client.send_message(asked, context=known)]
            ids.append(updates[0].task.id)
        everything = await client.list_tasks(ListTasksRequest(), context=known)
        some = ListTasksRequest(
            context_id="c-0",
            status=TaskState.TASK_STATE_COMPLETED,
            page_size=2,
            include_artifacts=True,
        )
        first = await client.list_tasks(some, context=known)
        some.page_token = first.next_page_token
        second = await client.list_tasks(some, context=known)
        failed = ListTasksRequest(status=TaskState.TASK_STATE_FAILED)
        none = await client.list_tasks(failed, context=known)
        with pytest.raises(A2AError, match="pageToken"):
            await client.list_tasks(ListTasksRequest(page_token="x"), context=known)
    assert [task.id for task in everything.tasks] == ids[::-1]
    assert not everything.tasks[0].artifacts
    assert [task.id for task in first.tasks] == [ids[4], ids[2]]
    assert get_artifact_text(first.tasks[0].artifacts[0]) == "Hello there, friend."
    assert ([task.id for task in second.tasks], second.next_page_token) == ([ids[0]], "")
    assert (first.total_size, none.total_size) == (3, 0)


async def test_a_process_can_take_over_the_port_of_another() -> None:
    from lmos.protocols.a2a import Service, rpc

    async def told() -> str:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            sent = request("hi")
            stub = a2a_pb2_grpc.A2AServiceStub(channel)
            answer = await stub.SendMessage(sent, wait_for_ready=True)
        return get_artifact_text(answer.task.artifacts[0])

    old, new = (Service(talker(name, f"I am {name}.").respond) for name in ("old", "new"))
    async with AsyncExitStack() as leaving:
        port = await leaving.enter_async_context(rpc.serving({"a": old}, "127.0.0.1:0"))
        assert await told() == "I am old."
        async with rpc.serving({"a": new}, f"127.0.0.1:{port}"):
            await leaving.aclose()
            assert [await told() for _ in range(10)] == ["I am new."] * 10


async def test_a_task_is_the_same_in_every_transport() -> None:
    settings = Settings(grpc="127.0.0.1:0")
    agent = payer()
    async with served(agent, settings) as url:
        async with client_of(url, "GRPC") as client:
            asked = (await ask(client, "pay 12"))[-1].status_update
        async with client_of(url, "JSONRPC") as client:
            task = await client.get_task(GetTaskRequest(id=asked.task_id))
            assert task.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
            await ask(client, "yes", task_id=asked.task_id)
    assert agent.paid == [12]  # type: ignore[attr-defined]


async def test_turns_travel_whole_over_grpc() -> None:
    """The extension: the turn comes as it is, and its events ride along."""
    knowing = Knowing()
    settings = Settings(grpc="127.0.0.1:0")
    uri = "urn:lmos:a2a:turn:1"
    turn = {
        "tenant": "acme",
        "channel": "web",
        "conversationId": "c-5",
        "turnId": "t-5",
        "messages": [{"role": "user", "content": "hi"}],
        "systemContext": {"a": "b"},
    }
    asked = request("hi")
    asked.message.metadata.update({uri: {"turn": turn}})
    async with served(knowing.agent, settings) as url, client_of(url, "GRPC") as client:
        updates = [u async for u in client.send_message(asked)]
    (ctx,) = knowing.contexts
    assert (ctx.tenant, ctx.channel, ctx.turn.conversation_id) == ("acme", "web", "c-5")
    assert dict(ctx.system) == {"a": "b"}
    told = [MessageToDict(update) for update in updates[1:]]
    events = [next(iter(update.values()))["metadata"][uri]["event"] for update in told]
    assert [event["type"] for event in events][-2:] == ["message", "done"]
