"""Several `lmos runtime` processes behind one address, which share conversations through a database
server: whichever of them gets a turn, the conversation goes on, and one after the other may be
replaced while turns come.

Each connection goes to the next process, and each request is a connection.
"""

import asyncio
import contextlib
import itertools
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
import yaml
from identity_parts import ACME, GLOBEX, bearer, tenant
from runtime_parts import BILL, ORDER, Play, Player, agent_of, group_of, routing, serving
from service_parts import Process

from lmos.model import (
    InputRequired,
    Message,
    Share,
    Turn,
    TurnEvent,
)
from lmos.protocols import http, sse
from lmos.state import open_state
from lmos.state.keys import key

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]

#: Attempts at a turn while processes are replaced.
ATTEMPTS = 8
#: Messages of which one at least leaves open whom it is for.
DOUBTFUL = (
    "show me my bill where is my order",
    "show me my bill and track my order",
    "parcel or bill",
    "something about order and bill",
    "is it the bill or the order",
    "delivery invoice",
    "the order bill",
)
_names = itertools.count()


class Balancer:
    """One address for several processes: the next of them for each connection, and the one after it
    where that takes none.
    """

    def __init__(self) -> None:
        self.targets: list[str] = []
        self.sent: Counter[str] = Counter()
        self._next = itertools.count()
        self._server: asyncio.Server
        self._pipes: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        finally:
            self._server.close()
            for pipe in self._pipes:
                pipe.cancel()
            await asyncio.gather(*self._pipes, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        current = asyncio.current_task()
        assert current
        self._pipes.add(current)
        current.add_done_callback(self._pipes.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            there = await self._reached()
            await asyncio.gather(_pipe(reader, there[1]), _pipe(there[0], writer))
        writer.transport.abort()

    async def _reached(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        first = next(self._next)
        for number in range(len(self.targets)):
            target = self.targets[(first + number) % len(self.targets)]
            place = urlsplit(target)
            with contextlib.suppress(OSError):
                reached = await asyncio.open_connection(place.hostname, place.port)
                self.sent[target] += 1
                return reached
        raise ConnectionRefusedError("no process takes connections")


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        with contextlib.suppress(OSError):
            writer.close()


@dataclass
class Fleet:
    """The processes, the agents that they ask, and their common state."""

    directory: Path
    state: str
    billing: Player
    orders: Player
    balancer: Balancer
    url: str
    session: aiohttp.ClientSession
    processes: dict[str, Process] = field(default_factory=dict)

    async def start(self, count: int = 1) -> list[str]:
        """Starts so many more, and gives where they are once they are ready."""
        started = []
        for _ in range(count):
            own = self.directory / f"runtime-{next(_names)}"
            own.mkdir()
            started.append(
                Process(
                    own,
                    *("--state", self.state),
                    *("--routings", str(self.directory / "routings.yaml")),
                    *("--identity", str(self.directory / "tenants.yaml")),
                    LMOS_ROUTER="vector",
                )
            )
        urls = [await process.url() for process in started]
        self.processes |= dict(zip(urls, started, strict=True))
        self.balancer.targets += urls
        return urls

    async def stop(self, url: str, how: signal.Signals = signal.SIGTERM) -> int:
        """Ends one. It is taken off the balancer when it has gone, as nobody knows it earlier."""
        process = self.processes.pop(url)
        process.process.send_signal(how)
        code = await process.ended()
        self.balancer.targets.remove(url)
        return code

    async def request(
        self, method: str, path: str, body: Any = None, **how: Any
    ) -> tuple[int, dict[str, Any]]:
        """A request of acme's by way of the balancer, or `at` one of the processes."""
        url, headers = how.pop("at", self.url), bearer(ACME) | how.pop("headers", {})
        async with self.session.request(
            method, url + path, json=body, headers=headers, **how
        ) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else {}

    async def turn(
        self, conversation: str, text: str, *, user: str = "ann", turn: str = "", **how: Any
    ) -> tuple[int, dict[str, Any]]:
        """A turn; its status and answer."""
        path = f"/apis/v1/{how.pop('tenant', 'acme')}/chat/{conversation}/message"
        headers = {**({"x-turn-id": turn} if turn else {}), **how.pop("headers", {})}
        return await self.request("POST", path, said(text, user), headers=headers, **how)

    async def shown(self, conversation: str, **how: Any) -> dict[str, Any]:
        _, shown = await self.request("GET", f"/apis/v1/acme/conversations/{conversation}", **how)
        return shown


def said(text: str, user: str) -> dict[str, Any]:
    return {
        "inputContext": {"messages": [{"role": "user", "content": text}]},
        "systemContext": {"channelId": "web"},
        "userContext": {"userId": user},
    }


def _write(directory: Path, billing: str, orders: str) -> None:
    agents = agent_of("billing", billing, BILL), agent_of("orders", orders, ORDER)
    groups = group_of(agents[0], BILL), group_of(agents[1], ORDER)
    desk = [{"human": "desk", "message": "Ann will write."}]
    channels = [
        (found := routing(name, *groups)).but(
            spec=found.spec.model_validate(found.spec.model_dump() | {"fallback": desk})
        )
        for name in ("acme", "globex")
    ]
    few = {"turns_per_second": 0.1, "burst": 6}
    tenants = tenant("acme", ACME), tenant("globex", GLOBEX, limits=few)
    for file, found in (("routings", (*agents, *channels)), ("tenants", tenants)):
        text = yaml.safe_dump_all(resource.wire() for resource in found)
        (directory / f"{file}.yaml").write_text(text)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["redis", "postgres"])
async def fleet(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Fleet]:
    """Two processes, with a state on a real server."""
    state: str = request.getfixturevalue(f"{request.param}_server").url
    directory = tmp_path_factory.mktemp("fleet")
    billing, orders, balancer = Player("billing"), Player("orders"), Balancer()
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    async with (
        serving(billing.respond, "billing") as one,
        serving(orders.respond, "orders") as two,
        balancer.serving() as url,
        aiohttp.ClientSession(connector=connector) as session,
    ):
        _write(directory, one, two)
        fleet = Fleet(directory, state, billing, orders, balancer, url, session)
        try:
            await fleet.start(2)
            yield fleet
        finally:
            for process in fleet.processes.values():
                process.process.kill()
                process.process.wait()
            await http.close_session()


@pytest.fixture(autouse=True)
def agents_repeat(fleet: Fleet) -> None:
    """Agents do what they did at first, and nobody has asked them."""
    for player in (fleet.billing, fleet.orders):
        player.turns.clear()
        player.play = player.repeat


def named(what: str) -> str:
    return f"{what}-{os.getpid()}-{next(_names)}"


def holding(player: Player) -> asyncio.Event:
    """The player holds its answers back until the event is set."""
    go = asyncio.Event()

    async def play(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        await go.wait()
        async for event in player.repeat(turn):
            yield event

    player.play = play
    return go


async def until(what: Any) -> None:
    async with asyncio.timeout(10):
        while not (found := what()) or (asyncio.iscoroutine(found) and not await found):
            await asyncio.sleep(0.02)


# --- what they share ------------------------------------------------------------------------------


async def test_turns_go_to_all_of_them_and_the_conversation_goes_on(fleet: Fleet) -> None:
    conversation, before = named("c"), Counter(fleet.balancer.sent)
    texts = [f"show me my bill, number {n}" for n in range(6)]
    for text in texts:
        assert (await fleet.turn(conversation, text))[1]["content"] == f"billing: {text}"
    went = Counter(fleet.balancer.sent) - before
    assert [*went.values()] == [3, 3]
    told = [m for text in texts for m in (text, f"billing: {text}")]
    assert [m.content for m in fleet.billing.turns[-1].messages] == told[:-1]
    for url in fleet.processes:
        shown = await fleet.shown(conversation, at=url)
        assert [m["content"] for m in shown["messages"]] == told
        _, listed = await fleet.request("GET", "/apis/v1/acme/conversations?user=ann", at=url)
        assert conversation in [c["conversationId"] for c in listed["conversations"]]


async def test_the_agent_that_waits_for_a_reply_gets_it(fleet: Fleet) -> None:
    conversation, (one, two) = named("c"), fleet.processes
    question = Message(role="assistant", content="Of which month?")
    fleet.billing.plays(InputRequired(message=question))
    _, asked = await fleet.turn(conversation, "show me my bill", at=one)
    assert asked["inputRequired"]
    fleet.billing.play = fleet.billing.repeat
    assert (await fleet.turn(conversation, "May", at=two))[1]["content"] == "billing: May"


async def test_what_was_offered_by_one_is_chosen_from_at_the_other(fleet: Fleet) -> None:
    (one, two) = fleet.processes
    for text in DOUBTFUL:
        conversation = named("c")
        _, asked = await fleet.turn(conversation, text, at=one)
        if asked["decision"]["outcome"] == "clarify":
            break
    assert asked["decision"]["outcome"] == "clarify"
    _, told = await fleet.turn(conversation, "the second", at=two)
    assert told["agent"] == asked["decision"]["candidates"][1]["agent"]


async def test_what_agents_share_is_read_at_the_other(fleet: Fleet) -> None:
    conversation, (one, two) = named("c"), fleet.processes
    repeat: Play = fleet.billing.repeat

    async def sharing(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        yield Share(name="invoice", value=42)
        async for event in repeat(turn):
            yield event

    fleet.billing.play = sharing
    await fleet.turn(conversation, "show me my bill", at=one)
    await fleet.turn(conversation, "where is my order", at=two)
    (value,) = fleet.orders.turns[0].shared or ()
    assert (value.name, value.value, value.agent) == ("invoice", 42, "billing")
    path = f"/apis/v1/acme/conversations/{conversation}/memory/invoice"
    for url in (one, two):
        assert (await fleet.request("GET", path, at=url))[1]["value"] == 42


async def test_a_turn_sent_to_both_is_answered_once(fleet: Fleet) -> None:
    conversation, text = named("c"), "show me my bill"
    go = holding(fleet.billing)
    first, second = (
        asyncio.create_task(fleet.turn(conversation, text, turn="t1", at=url))
        for url in fleet.processes
    )
    await until(lambda: fleet.billing.turns)
    go.set()
    answers = [await first, await second]
    answers += [await fleet.turn(conversation, text, turn="t1", at=url) for url in fleet.processes]
    assert {(status, answer["content"]) for status, answer in answers} == {
        (200, "billing: show me my bill")
    }
    assert len(fleet.billing.turns) == 1
    assert (await fleet.shown(conversation))["messages"][-1]["content"].startswith("billing")
    assert len((await fleet.shown(conversation))["messages"]) == 2


async def test_decisions_and_feedback_are_seen_at_the_other(fleet: Fleet) -> None:
    conversation, (one, two) = named("c"), fleet.processes
    await fleet.turn(conversation, "show me my bill", turn="t1", at=one)
    path = f"/apis/v1/acme/conversations/{conversation}/turns/t1"

    async def judged() -> bool:  # a process logs decisions a moment after it has answered
        body = {"rating": 1, "comment": "quick"}
        return (await fleet.request("POST", f"{path}/feedback", body, at=two))[0] == 200

    await until(judged)
    _, record = await fleet.request("GET", path, at=one)
    assert record["feedback"]["comment"] == "quick"
    assert record["asked"][0]["agent"] == "billing"
    for url in (one, two):
        _, log = await fleet.request("GET", "/apis/v1/acme/decisions?limit=200", at=url)
        assert conversation in {r["conversationId"] for r in log["decisions"]}


async def test_what_people_hold_no_process_answers(fleet: Fleet) -> None:
    conversation, (one, two) = named("c"), fleet.processes
    desk = "/apis/v1/tenants/acme/channels/web/humans"
    _, handed = await fleet.turn(conversation, "what is the capital of Peru", at=one)
    assert handed["content"] == "Ann will write."
    _, held = await fleet.turn(conversation, "show me my bill", at=two)
    assert held["content"].startswith("A person has taken over")
    _, waiting = await fleet.request("GET", desk, at=two)
    assert conversation in json.dumps(waiting)
    await fleet.request("POST", f"{desk}/{conversation}/release", {}, at=two)
    _, answered = await fleet.turn(conversation, "show me my bill", at=one)
    assert answered["agent"] == "billing"


async def test_turns_of_a_tenant_are_counted_together(fleet: Fleet) -> None:
    headers = bearer(GLOBEX)
    statuses = [
        (await fleet.turn(named("c"), "show me my bill", tenant="globex", headers=headers))[0]
        for _ in range(14)
    ]
    assert statuses == [200] * 6 + [429] * 8


# --- whose a conversation is ----------------------------------------------------------------------


async def test_one_of_two_who_begin_at_the_same_moment_has_it(fleet: Fleet) -> None:
    for _ in range(8):
        conversation = named("c")
        results = await asyncio.gather(
            *(
                fleet.turn(conversation, "show me my bill", user=user, at=url)
                for user, url in zip(("ann", "bob"), fleet.processes, strict=True)
            )
        )
        assert sorted(status for status, _ in results) == [200, 404]
        shown = await fleet.shown(conversation)
        assert len(shown["users"]) == 1
        assert len(shown["messages"]) == 2


async def test_who_comes_second_has_nothing_even_if_the_lease_was_lost(fleet: Fleet) -> None:
    """As when a server lost it in a restart: both are answered at once, and one is remembered."""
    conversation, (one, two) = named("c"), fleet.processes
    state = open_state(fleet.state)
    go = holding(fleet.billing)
    begun = []
    for number, (user, url) in enumerate((("ann", one), ("bob", two)), 1):
        turn = fleet.turn(conversation, "show me my bill", user=user, at=url)
        begun.append(asyncio.create_task(turn))
        await until(lambda number=number: len(fleet.billing.turns) == number)
        await state.delete(key("conversation", "acme", "web", conversation, "turn"))
    await state.close()
    go.set()
    results = [await turn for turn in begun]
    assert sorted(status for status, _ in results) == [200, 404]
    shown = await fleet.shown(conversation)
    winner = "ann" if results[0][0] == 200 else "bob"
    assert shown["users"] == [winner]
    assert len(shown["messages"]) == 2
    for user in ("ann", "bob"):
        _, listed = await fleet.request("GET", f"/apis/v1/acme/conversations?user={user}&limit=200")
        mine = [c["conversationId"] for c in listed["conversations"]]
        assert (conversation in mine) == (user == winner)


async def test_a_turn_is_remembered_once_even_if_the_lease_was_lost(fleet: Fleet) -> None:
    conversation, text = named("c"), "show me my bill"
    state = open_state(fleet.state)
    go = holding(fleet.billing)
    begun = []
    for number, url in enumerate(fleet.processes, 1):
        turn = fleet.turn(conversation, text, turn="t1", at=url)
        begun.append(asyncio.create_task(turn))
        await until(lambda number=number: len(fleet.billing.turns) == number)
        await state.delete(key("conversation", "acme", "web", conversation, "turn"))
    await state.close()
    go.set()
    results = [await turn for turn in begun]
    assert sorted(status for status, _ in results) == [200, 503]
    assert (await fleet.turn(conversation, text, turn="t1"))[0] == 200
    assert len((await fleet.shown(conversation))["messages"]) == 2


# --- replacing them -------------------------------------------------------------------------------


@dataclass
class Stream:
    """Turns of one conversation, one after the other until told to stop, each repeated until it is
    answered.
    """

    fleet: Fleet
    conversation: str
    asked: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            text = f"show me my bill, number {len(self.asked)}"
            self.asked.append(text)
            assert await self._answered(text, f"t{len(self.asked)}") == f"billing: {text}"

    async def _answered(self, text: str, turn: str) -> str:
        ways = (self._whole, self._streamed, self._over_socket)
        ask = ways[len(self.asked) % len(ways)]
        for attempt in range(ATTEMPTS):
            try:
                return await ask(text, turn)
            except (aiohttp.ClientError, ConnectionError) as error:
                self.failures.append(f"{turn}: {error!r}")
                await asyncio.sleep(0.05 * attempt)
        raise AssertionError(f"{turn} of {self.conversation} was lost: {self.failures}")

    async def _whole(self, text: str, turn: str) -> str:
        status, answer = await self.fleet.turn(self.conversation, text, turn=turn)
        if status != 200:
            raise ConnectionError(answer["message"])
        return str(answer["content"])

    async def _streamed(self, text: str, turn: str) -> str:
        path = f"{self.fleet.url}/apis/v1/acme/chat/{self.conversation}/message"
        headers = {**bearer(ACME), "accept": "text/event-stream", "x-turn-id": turn}
        async with self.fleet.session.post(
            path, json=said(text, "ann"), headers=headers
        ) as response:
            if response.status != 200:
                raise ConnectionError(await response.text())
            found, told = [], ""
            async for event in sse.parse(response.content.iter_any()):
                found.append(event.name)
                if event.name == "text_delta":
                    told += json.loads(event.data)["text"]
        if found[-1] != "done":
            raise ConnectionError(f"it ended with {found[-1]}")
        return told

    async def _over_socket(self, text: str, turn: str) -> str:
        url = f"{self.fleet.url}/apis/v1/acme/chat/{self.conversation}/ws"
        told, kind = "", ""
        async with self.fleet.session.ws_connect(url, headers=bearer(ACME)) as socket:
            await socket.send_json({"type": "turn", "turnId": turn, **said(text, "ann")})
            async for message in socket:
                event = json.loads(message.data)
                kind = event["type"]
                if kind == "text_delta":
                    told += event["text"]
                if kind in ("done", "error"):
                    break
        if kind != "done":
            raise ConnectionError(f"it ended with {kind or 'nothing'}, {socket.close_code}")
        return told


@pytest.mark.long
async def test_replacing_one_after_the_other_loses_no_turn(fleet: Fleet) -> None:
    fleet.billing.slowly(0.03)
    streams = [Stream(fleet, named("rolling")) for _ in range(6)]
    stop = asyncio.Event()
    running = [asyncio.create_task(stream.run(stop)) for stream in streams]
    old = [*fleet.processes]
    for url in old:
        await fleet.start()
        assert await fleet.stop(url) == 0
    stop.set()
    await asyncio.gather(*running)
    assert not set(old) & set(fleet.processes)
    for stream in streams:
        await _check_once(fleet, stream)
    times = Counter((turn.conversation_id, turn.turn_id) for turn in fleet.billing.turns)
    again = sum(times.values()) - len(times)
    failed = sum(len(stream.failures) for stream in streams)
    print(f"{len(times)} turns, {failed} repeated, {again} asked again")
    assert again <= failed, "an agent was asked again though nobody repeated the turn"


async def _check_once(fleet: Fleet, stream: Stream) -> None:
    """Every turn of the stream is in the conversation once, with its answer, in order."""
    assert len(stream.asked) > 5
    told = [m for text in stream.asked for m in (text, f"billing: {text}")]
    shown = [m["content"] for m in (await fleet.shown(stream.conversation))["messages"]]
    assert shown == told[-len(shown) :]
    assert len(shown) >= min(len(told), 38)


@pytest.mark.long
async def test_a_turn_of_a_process_that_was_killed_is_answered_by_another(fleet: Fleet) -> None:
    if not fleet.state.startswith("redis"):
        pytest.skip("a lease takes ten seconds to run out on every server; one shows it")
    conversation, text = named("c"), "show me my bill"
    (one, two) = fleet.processes
    go = holding(fleet.billing)
    turn = asyncio.create_task(fleet.turn(conversation, text, turn="t1", at=one))
    await until(lambda: fleet.billing.turns)
    await fleet.stop(one, signal.SIGKILL)
    with pytest.raises(aiohttp.ClientError):
        await turn
    go.set()
    assert (await fleet.turn(conversation, text, turn="t1", at=two))[0] == 200
    assert len((await fleet.shown(conversation))["messages"]) == 2
