"""Turns over a plain WebSocket, asked for by a WebSocket client."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
from identity_parts import ACME, House, bearer, housed, tenant
from runtime_parts import served
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from lmos.model import Answer, Done, InputRequired, Message, TextDelta, Turn, TurnEvent
from lmos.runtime import app

PATH = "/apis/v1/acme/chat/{}/ws"
END = {"done", "input_required", "handover", "error"}
Frames = list[dict[str, Any]]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with housed() as made:
        yield made


def opened(house: House, conversation: str = "c", **how: Any) -> connect:
    how.setdefault("additional_headers", bearer(ACME))
    url = house.url.replace("http", "ws", 1) + PATH.format(conversation)
    return connect(url, max_size=None, **how)


def turn_of(text: str, turn: str, **more: Any) -> str:
    body = {
        "inputContext": {"messages": [{"role": "user", "content": text}]},
        "systemContext": {"channelId": "web"},
        "userContext": {"userId": "ann"},
    }
    return json.dumps({"type": "turn", "turnId": turn, **body, **more})


async def told(socket: ClientConnection) -> Frames:
    """The frames until one ends its turn."""
    frames: Frames = []
    async with asyncio.timeout(10):
        while not frames or frames[-1]["type"] not in END:
            frames.append(json.loads(await socket.recv()))
    return frames


def text_of(frames: Frames) -> str:
    return "".join(f["text"] for f in frames if f["type"] == "text_delta")


async def asked(socket: ClientConnection, text: str, turn: str, **more: Any) -> Frames:
    await socket.send(turn_of(text, turn, **more))
    return await told(socket)


async def test_turn_after_turn_with_their_events(house: House) -> None:
    async with opened(house) as socket:
        first = await asked(socket, "show me my bill", "t1")
        second = await asked(socket, "where is my order", "t2")
    kinds = [f["type"] for f in first]
    assert kinds == ["started", "decision", "text_delta", "text_delta", "message", "done"]
    assert {f["turnId"] for f in first} == {"t1"}
    assert {f["turnId"] for f in second} == {"t2"}
    assert text_of(second) == "orders: where is my order"
    assert len(house.orders.turns[0].messages) == 3  # what was said before is remembered


async def test_turns_sent_at_once_are_answered_in_their_order(house: House) -> None:
    async with opened(house) as socket:
        for number in range(4):
            await socket.send(turn_of(f"show me my bill, number {number}", f"t{number}"))
        found = [await told(socket) for _ in range(4)]
    assert [frames[-1]["turnId"] for frames in found] == ["t0", "t1", "t2", "t3"]
    assert text_of(found[3]).endswith("number 3")


async def test_a_turn_sent_again_gets_what_it_got(house: House) -> None:
    async with opened(house) as socket:
        first = await asked(socket, "show me my bill", "t1")
    async with opened(house) as socket:
        again = await asked(socket, "show me my bill", "t1")
    assert text_of(again) == text_of(first)
    assert len(house.billing.turns) == 1


async def test_a_frame_cancels_what_runs_and_what_waits(house: House) -> None:
    house.billing.slowly(60)
    async with opened(house) as socket:
        await socket.send(turn_of("show me my bill", "t1"))
        await socket.send(turn_of("show me my bill", "t2"))
        while json.loads(await socket.recv())["type"] != "text_delta":
            pass
        for turn in ("t2", "t1"):
            await socket.send(json.dumps({"type": "cancel", "turnId": turn}))
        ended = (await told(socket))[-1], (await told(socket))[-1]
        async with asyncio.timeout(5):
            await house.billing.closed.wait()
        assert [(f["turnId"], f["type"]) for f in ended] == [("t1", "error"), ("t2", "error")]
        assert len(house.billing.turns) == 1
        house.billing.play = house.billing.repeat
        assert (await asked(socket, "show me my bill", "t3"))[-1]["type"] == "done"


async def test_who_leaves_ends_the_turn(house: House) -> None:
    house.billing.slowly(60)
    async with opened(house) as socket:
        await socket.send(turn_of("show me my bill", "t1"))
        while json.loads(await socket.recv())["type"] != "text_delta":
            pass
    async with asyncio.timeout(5):
        await house.billing.closed.wait()


@pytest.mark.parametrize(
    ("sent", "code", "words"),
    [
        ("nonsense", "INVALID_REQUEST", "not JSON"),
        ("[]", "INVALID_REQUEST", "not valid"),
        ('{"type": "dance"}', "INVALID_REQUEST", "type"),
        ('{"type": "turn", "turnId": "t"}', "INVALID_REQUEST", "inputContext"),
        (turn_of("hi", "t", timeout=-1), "INVALID_REQUEST", "x-turn-timeout"),
        (turn_of("hi", "x" * 300), "INVALID_REQUEST", "turn id"),
        (turn_of("x" * 1_100_000, "t"), "REQUEST_TOO_LARGE", "limit"),
        (b"\xff\x00", "INVALID_REQUEST", "UTF-8"),
        (turn_of("", "t"), "INVALID_REQUEST", "empty"),
    ],
)
async def test_a_frame_that_is_wrong_costs_nothing_else(
    house: House, sent: str | bytes, code: str, words: str
) -> None:
    async with opened(house) as socket:
        await socket.send(sent)
        (frame,) = await told(socket)
        assert frame["error"]["code"] == code
        assert words in frame["error"]["message"]
        assert (await asked(socket, "show me my bill", "t1"))[-1]["type"] == "done"


async def test_a_turn_has_its_time(house: House) -> None:
    house.billing.slowly(60)
    async with opened(house) as socket:
        frames = await asked(socket, "show me my bill", "t1", timeout=0.3)
    assert frames[-1]["error"]["code"] == "DEADLINE_EXCEEDED"


async def test_more_than_may_wait_is_refused(house: House) -> None:
    house.billing.slowly(60)
    async with opened(house) as socket:
        for number in range(12):
            await socket.send(turn_of("show me my bill", f"t{number}"))
        refused = []
        async with asyncio.timeout(10):
            while len(refused) < 3:
                frame = json.loads(await socket.recv())
                refused += [frame] if frame["type"] == "error" else []
    assert [f["turnId"] for f in refused] == ["t9", "t10", "t11"]
    assert {f["error"]["code"] for f in refused} == {"OVERLOADED"}


async def test_who_does_not_read_slows_the_agent_down(house: House) -> None:
    """Nothing is gathered for a client that does not read, and nothing is lost when it does."""
    piece, pieces, sent = "x" * 20_000, 1_000, 0

    async def play(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        nonlocal sent
        for _ in range(pieces):
            yield TextDelta(text=piece)
            sent += 1
        yield Answer(message=Message(role="assistant", content="x"))
        yield Done()

    house.billing.play = play
    async with opened(house, max_queue=1, compression=None) as socket:
        await socket.send(turn_of("show me my bill", "t1"))
        before, still = -1, 0
        async with asyncio.timeout(20):
            while still < 5:  # until nothing moves any more
                await asyncio.sleep(0.1)
                still = still + 1 if sent == before > 0 else 0
                before = sent
        assert sent < pieces * 0.9
        assert len(text_of(await told(socket))) == len(piece) * pieces


# --- who may --------------------------------------------------------------------------------------


async def test_credentials_come_in_a_header_or_a_sub_protocol(house: House) -> None:
    offered = [Subprotocol("lmos.turns.v1"), Subprotocol(f"lmos.bearer.{ACME}")]
    async with opened(house, subprotocols=offered, additional_headers={}) as socket:
        assert socket.subprotocol == "lmos.turns.v1"
        assert (await asked(socket, "show me my bill", "t1"))[-1]["type"] == "done"


@pytest.mark.parametrize(
    ("headers", "protocols", "status"),
    [
        ({}, [], 401),
        (bearer("guess"), [], 401),
        ({}, ["lmos.turns.v1", "lmos.bearer.guess"], 401),
        (bearer("lmos_key-of-globex"), [], 403),
        (bearer("lmos_key-of-globex"), ["lmos.turns.v1", f"lmos.bearer.{ACME}"], 403),
    ],
)
async def test_others_are_refused_at_the_handshake(
    house: House, headers: dict[str, str], protocols: list[str], status: int
) -> None:
    offered = [Subprotocol(name) for name in protocols] or None
    with pytest.raises(InvalidStatus) as refused:
        async with opened(house, additional_headers=headers, subprotocols=offered):
            pass
    assert refused.value.response.status_code == status
    query = connect(f"{house.url.replace('http', 'ws')}{PATH.format('c')}?token={ACME}")
    with pytest.raises(InvalidStatus):  # an address is no place for a credential
        async with query:
            pass


async def test_a_token_says_who_the_user_is_and_until_when(house: House) -> None:
    tokens = [{"issuer": house.issuer.url, "audience": "lmos"}]
    await house.change(tenant("acme", ACME, tokens=tokens))
    token = house.issuer.token("eve", "lmos", exp=time.time() + 2)
    async with opened(house, additional_headers=bearer(token)) as socket:
        assert (await asked(socket, "show me my bill", "t1"))[-1]["type"] == "done"
        assert house.billing.turns[0].user.id == "eve"
        async with asyncio.timeout(10):
            while (frame := (await asked(socket, "show me my bill", "t1"))[-1])["type"] == "done":
                await asyncio.sleep(0.1)
        assert frame["error"]["code"] == "UNAUTHENTICATED"
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


async def test_pages_of_others_may_not_where_nobody_needs_credentials(house: House) -> None:
    async with served(app.application(house.routes())) as url:
        there = url.replace("http", "ws", 1) + PATH.format("c")
        with pytest.raises(InvalidStatus) as refused:
            async with connect(there, additional_headers={"origin": "https://elsewhere.example"}):
                pass
        assert refused.value.response.status_code == 403
        async with connect(there) as socket:
            assert (await asked(socket, "show me my bill", "t1"))[-1]["type"] == "done"


async def test_a_question_ends_a_turn_and_the_reply_is_the_next(house: House) -> None:
    question = Message(role="assistant", content="Of which month?")
    house.billing.plays(InputRequired(message=question))
    async with opened(house) as socket:
        assert (await asked(socket, "show me my bill", "t1"))[-1]["type"] == "input_required"
        house.billing.play = house.billing.repeat
        assert text_of(await asked(socket, "May", "t2")) == "billing: May"
