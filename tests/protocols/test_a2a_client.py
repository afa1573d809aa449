"""Our A2A client: exact events from our own agents, good manners with those of others."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from a2a.helpers import (
    new_task_from_user_message,
    new_text_message,
    new_text_part,
)
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import (
    create_agent_card_routes,
    create_jsonrpc_routes,
    create_rest_routes,
)
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, Role
from protocol_agents import (
    Endless,
    Recording,
    a_turn,
    asking,
    broken,
    echo,
    events_of,
    failing,
    failing_late,
    handing_over,
    names,
    rich,
    soon,
)
from protocol_servers import Serve, app_of, serving
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from lmos.model import (
    Answer,
    Capability,
    Description,
    Failed,
    InputRequired,
    Message,
    Responder,
    Started,
    User,
    errors,
)
from lmos.protocols import a2a, http

DESCRIPTION = Description(
    name="echo",
    version="1.2.0",
    description="Echoes",
    supported_tenants=("acme",),
    supported_channels=("web", "ivr"),
    capabilities=(
        Capability(id="say", name="say-it", version="3.1.0", description="d", examples=("a", "b")),
        Capability(name="bare", version="0.1.0"),
    ),
)


# --- our own agents -------------------------------------------------------------------------------


@pytest.mark.parametrize("responder", [echo, rich, asking, handing_over])
async def test_the_events_are_the_very_same(serve: Serve, responder: Responder) -> None:
    there = a2a.responder(await serve(a2a.routes(responder, DESCRIPTION)))
    for _ in range(2):  # with the card read, and known
        assert await events_of(there, a_turn()) == await events_of(responder, a_turn())


async def test_the_turn_is_the_very_same(serve: Serve) -> None:
    asked = Recording()
    turn = a_turn(
        subset="canary",
        deadline=soon(60),
        user=User(id="u", token="tok", claims={"n": 1}, profile={"tier": "gold"}),
        messages=(Message(role="assistant", content="hi"), Message(role="user", content="yö")),
        system_context={"lang": "de"},
        agent="echo",
        trace={"traceparent": "00-1-2-01"},
    )
    await events_of(a2a.responder(await serve(a2a.routes(asked, DESCRIPTION))), turn)
    assert asked.turns == [turn]


async def test_the_path_says_which_channel_whatever_the_turn_says(serve: Serve) -> None:
    asked = Recording()
    url = await serve(a2a.routes(asked, DESCRIPTION, prefix="/a2a/{tenant}/{channel}"))
    turn = a_turn(user=User(id="u", claims={"admin": True}))
    await events_of(a2a.responder(f"{url}/a2a/globex/ivr"), turn)
    assert (asked.turns[0].tenant, asked.turns[0].channel) == ("globex", "ivr")
    assert asked.turns[0].user == User(id="u")


async def test_errors_keep_their_class(serve: Serve) -> None:
    for responder, kind in (
        (failing, errors.Overloaded),
        (failing_late, errors.AgentFailed),
        (broken, errors.LmosError),
    ):
        there = a2a.responder(await serve(a2a.routes(responder, DESCRIPTION)))
        last = (await events_of(there, a_turn()))[-1]
        assert isinstance(last, Failed)
        assert isinstance(last.exception(), kind)
        assert "secret" not in last.error.message


async def test_the_deadline_ends_the_turn_here_and_there(serve: Serve) -> None:
    endless = Endless()
    there = a2a.responder(await serve(a2a.routes(endless, DESCRIPTION)))
    events = await events_of(there, a_turn(deadline=soon(1)))
    assert names(events) == ["started", "text_delta", "error"]
    assert isinstance(events[-1], Failed)
    assert events[-1].error.code == "DEADLINE_EXCEEDED"
    async with asyncio.timeout(5):
        await endless.closed.wait()


async def test_leaving_the_iterator_closes_the_far_responder(serve: Serve) -> None:
    endless = Endless()
    there = a2a.responder(await serve(a2a.routes(endless, DESCRIPTION)))
    events = there(a_turn())
    assert names([await anext(events), await anext(events)]) == ["started", "text_delta"]
    await events.aclose()
    async with asyncio.timeout(5):
        await endless.closed.wait()


async def test_one_connection_serves_turn_after_turn(serve: Serve) -> None:
    clients: set[object] = set()

    def card_or_rpc(request: Request) -> Description:
        clients.add(request.client)
        return DESCRIPTION

    url = await serve(a2a.routes(echo, card_or_rpc))
    there = a2a.responder(url)
    for _ in range(3):
        await events_of(there, a_turn())
        await a2a.describe(url)  # tells from which port it was asked
    assert len(clients) == 1


async def test_an_agent_started_anew_is_asked_again_on_the_same_port() -> None:
    app = app_of(a2a.routes(echo, DESCRIPTION))
    async with serving(app) as url:
        there = a2a.responder(url)
        await events_of(there, a_turn())
    gone = (await events_of(there, a_turn()))[-1]
    assert isinstance(gone, Failed)
    assert gone.error.code == "AGENT_UNAVAILABLE"
    async with serving(app, int(url.rsplit(":", 1)[1])):
        assert names(await events_of(there, a_turn())) == ["started", "message", "done"]
    await http.close_session()


async def test_an_agent_that_dies_while_it_answers_has_failed() -> None:
    endless = Endless()
    async with serving(app_of(a2a.routes(endless, DESCRIPTION))) as url:
        events = a2a.responder(url)(a_turn())
        began = [await anext(events), await anext(events)]
    rest = [event async for event in events]
    await http.close_session()
    assert names([*began, *rest]) == ["started", "text_delta", "error"]
    assert isinstance(rest[-1], Failed)
    assert rest[-1].error.code == "AGENT_CLIENT_EXCEPTION"


# --- descriptions ---------------------------------------------------------------------------------


async def test_a_description_survives_its_card(serve: Serve) -> None:
    url = await serve(a2a.routes(echo, DESCRIPTION))
    found = await a2a.describe(url)
    bare = DESCRIPTION.capabilities[1].but(id="bare")
    capabilities = (DESCRIPTION.capabilities[0], bare)
    assert found == DESCRIPTION.but(
        capabilities=capabilities, url=url, source=f"{url}/.well-known/agent-card.json"
    )


async def test_a_card_at_the_origin_is_found_too(serve: Serve) -> None:
    url = await serve(a2a.routes(echo, DESCRIPTION))
    assert (await a2a.describe(f"{url}/some/path")).name == "echo"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"{", "not JSON"),
        (b"[]", "list"),
        (b'{"name": ""}', "name"),
        (b'{"name": "x", "url": "http://x", "version": "1"}', "neither"),
        (b'{"name": "x", "description": "' + b"x" * 1_100_000 + b'"}', "1048576"),
    ],
)
async def test_a_card_that_cannot_be_used_says_why(
    serve: Serve, document: bytes, words: str
) -> None:
    def card(_: Request) -> Response:
        return Response(document)

    url = await serve([Route("/.well-known/agent-card.json", card)])
    with pytest.raises(errors.AgentFailed, match=words):
        await a2a.describe(url)


async def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(errors.AgentUnavailable, match=r"127\.0\.0\.1:9"):
        await a2a.describe("http://127.0.0.1:9")
    await http.close_session()


# --- agents of others -----------------------------------------------------------------------------

Work = Callable[[RequestContext, TaskUpdater], Any]


class Executor(AgentExecutor):
    """An agent as the SDK's users write it."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.seen: list[RequestContext] = []

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        self.seen.append(context)
        assert context.message is not None
        task = context.current_task
        if task is None:
            task = new_task_from_user_message(context.message)
            await event_queue.enqueue_event(task)
        await self.work(context, TaskUpdater(event_queue, task.id, task.context_id))

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        raise NotImplementedError


def reply(text: str) -> Any:
    return new_text_message(text, role=Role.ROLE_AGENT)


async def in_pieces(context: RequestContext, task: TaskUpdater) -> None:
    await task.start_work(reply("thinking"))
    await task.add_artifact([new_text_part("Hello ")], artifact_id="a", append=False)
    await task.add_artifact([new_text_part("world")], artifact_id="a", append=True, last_chunk=True)
    await task.complete()


async def in_the_status(context: RequestContext, task: TaskUpdater) -> None:
    await task.complete(reply("Hello world"))


async def with_a_question(context: RequestContext, task: TaskUpdater) -> None:
    if context.get_user_input() == "12":
        await task.complete(reply("account 12"))
    else:
        await task.requires_input(reply("Which account?"))


async def badly(context: RequestContext, task: TaskUpdater) -> None:
    await task.failed(reply("no luck"))


async def saying_nothing(context: RequestContext, task: TaskUpdater) -> None:
    await task.complete()


async def foreign(
    serve: Serve, work: Work, binding: str = "JSONRPC", streaming: bool = True
) -> tuple[str, Executor]:
    """The URL of an agent made with the SDK."""
    card = AgentCard(
        name="foreign",
        version="9.0",
        description="of others",
        capabilities=AgentCapabilities(streaming=streaming),
        skills=[AgentSkill(id="s", name="skill", description="d", tags=["t"], examples=["e"])],
        default_input_modes=["text"],
        default_output_modes=["text"],
    )
    executor = Executor(work)
    handler = DefaultRequestHandler(
        agent_executor=executor, task_store=InMemoryTaskStore(), agent_card=card
    )
    url = await serve(
        [
            *create_agent_card_routes(card),
            *create_jsonrpc_routes(handler, "/rpc"),
            *create_rest_routes(handler, path_prefix="/rest"),
        ]
    )
    place = "/rpc" if binding == "JSONRPC" else "/rest"
    card.supported_interfaces.append(
        AgentInterface(url=url + place, protocol_binding=binding, protocol_version="1.0")
    )
    return url, executor


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
@pytest.mark.parametrize("work", [in_pieces, in_the_status])
async def test_an_agent_of_others_answers(
    serve: Serve, work: Work, binding: str, streaming: bool
) -> None:
    url, executor = await foreign(serve, work, binding, streaming)
    events = await events_of(a2a.responder(url), a_turn())
    assert events[0] == Started(agent="foreign", version="9.0")
    answer = events[-2]
    assert isinstance(answer, Answer)
    assert answer.message.content == "Hello world"
    text = "".join(e.text for e in events if e.type == "text_delta")
    assert text == "Hello world"
    assert executor.seen[0].context_id == "c-1"


async def test_an_agent_of_others_learns_only_what_it_must(serve: Serve) -> None:
    url, executor = await foreign(serve, in_the_status)
    turn = a_turn(
        user=User(id="u-secret", token="tok-secret"),
        messages=(Message(role="user", content="old-secret"), Message(role="user", content="new")),
        system_context={"k": "ctx-secret"},
    )
    await events_of(a2a.responder(url), turn)
    assert executor.seen[0].get_user_input() == "new"
    assert "secret" not in str(executor.seen[0].message)


async def test_a_question_of_others_goes_on_in_its_task(serve: Serve) -> None:
    url, executor = await foreign(serve, with_a_question)
    there = a2a.responder(url)
    question = (await events_of(there, a_turn("account")))[-1]
    assert isinstance(question, InputRequired)
    assert question.message.content == "Which account?"
    other = a_turn("account", conversation_id="c-2", turn_id="t-2")
    assert (await events_of(there, other))[-1].type == "input_required"
    answer = (await events_of(there, a_turn("12", turn_id="t-3")))[-2]
    assert isinstance(answer, Answer)
    assert answer.message.content == "account 12"
    first, second, third = (context.task_id for context in executor.seen)
    assert first == third != second


@pytest.mark.parametrize(
    ("work", "words"), [(badly, "no luck"), (saying_nothing, "without an answer")]
)
async def test_a_failure_of_others_is_agent_failed(serve: Serve, work: Work, words: str) -> None:
    url, _ = await foreign(serve, work)
    last = (await events_of(a2a.responder(url), a_turn()))[-1]
    assert isinstance(last, Failed)
    assert last.error.code == "AGENT_CLIENT_EXCEPTION"
    assert words in last.error.message


def sse_body(*events: bytes) -> Response:
    async def chunks() -> AsyncGenerator[bytes, None]:
        for event in events:
            yield event

    return StreamingResponse(chunks(), media_type="text/event-stream")


def rpc(result: str) -> bytes:
    return b'data: {"jsonrpc":"2.0","id":1,"result":%b}\n\n' % result.encode()


ANSWERS: dict[str, tuple[Callable[[], Response], str, str]] = {
    "HTML": (lambda: Response("<html>"), "AGENT_CLIENT_EXCEPTION", "not JSON"),
    "500": (lambda: Response("oops", 500), "AGENT_CLIENT_EXCEPTION", "HTTP 500"),
    "a redirect": (lambda: Response("", 307), "AGENT_CLIENT_EXCEPTION", "HTTP 307"),
    "503": (lambda: JSONResponse({"message": "later"}, 503), "AGENT_UNAVAILABLE", "later"),
    "429": (lambda: Response("", 429, {"retry-after": "9"}), "OVERLOADED", "429"),
    "an error": (
        lambda: JSONResponse({"jsonrpc": "2.0", "id": 1, "error": {"message": "nope"}}),
        "AGENT_CLIENT_EXCEPTION",
        "nope",
    ),
    "no result": (lambda: JSONResponse({"id": 1}), "AGENT_CLIENT_EXCEPTION", "not a response"),
    "nothing": (lambda: sse_body(), "AGENT_CLIENT_EXCEPTION", "without finishing"),
    "nonsense": (lambda: sse_body(b"data: {{\n\n"), "AGENT_CLIENT_EXCEPTION", "not JSON"),
    "no end": (
        lambda: sse_body(rpc('{"task":{"id":"1","status":{"state":"TASK_STATE_WORKING"}}}')),
        "AGENT_CLIENT_EXCEPTION",
        "without finishing",
    ),
    "bad types": (lambda: sse_body(rpc('{"task":{"id":[]}}')), "AGENT_CLIENT_EXCEPTION", "task.id"),
    "a huge event": (
        lambda: sse_body(b"data: " + b"x" * 5_000_000),
        "AGENT_CLIENT_EXCEPTION",
        "larger than",
    ),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_whatever_comes_back_the_turn_ends_well_formed(serve: Serve, case: str) -> None:
    make, code, words = ANSWERS[case]

    def card(request: Request) -> Response:
        url = f"{request.base_url}rpc"
        interface = {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
        found = {"name": "odd", "capabilities": {"streaming": True}}
        return JSONResponse(found | {"supportedInterfaces": [interface]})

    async def answer(request: Request) -> Response:
        await request.body()
        return make()

    url = await serve(
        [Route("/.well-known/agent-card.json", card), Route("/rpc", answer, methods=["POST"])]
    )
    last = (await events_of(a2a.responder(url), a_turn()))[-1]
    assert isinstance(last, Failed)
    assert last.error.code == code
    assert words in last.error.message
