"""What a turn costs: the agent asked directly, through a bare proxy, and through the runtime.

    python bench/turn.py [--turns 2000] [--state memory|sqlite]

Agent, proxy and runtime are processes of their own; the load comes from this one, over loopback, by
a client that does little more than write and read. The agent answers at once over A2A. The proxy is
starlette, uvicorn and aiohttp and passes bytes on. The runtime identifies the channel, routes (ten
agents with ten examples each, the message's embedding cached), keeps the conversation's history and
speaks A2A to the agent. Embedding a message that was never seen is shown apart. `cpu_ms` is the
processor time that each process takes for a turn, which other work on the machine changes least.
Prints JSON.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import aiohttp
import psutil
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

if TYPE_CHECKING:
    from lmos.model import State

Process = subprocess.Popen[str]

TEXT = "how much do I owe you?"
WARM_UP = 200
_numbers = count()


# --- the processes --------------------------------------------------------------------------------


def agent_routes() -> list[BaseRoute]:
    """An agent that repeats what it hears."""
    from lmos.model import Answer, Description, Done, Message, Started, Turn, TurnEvent
    from lmos.protocols import a2a

    async def echo(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        yield Started(agent="billing-agent", version="1.0.0")
        yield Answer(message=Message(role="assistant", content=turn.text))
        yield Done()

    return [*a2a.routes(echo, Description(name="billing-agent", version="1.0.0"))]


def proxy_routes(target: str) -> list[BaseRoute]:
    """Passes a request on and its response back."""
    session: list[aiohttp.ClientSession] = []

    async def forward(request: Request) -> Response:
        if not session:
            session.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        body = await request.body()
        headers = {"Content-Type": "application/json"}
        async with session[0].post(target + request.url.path, data=body, headers=headers) as answer:
            return Response(await answer.read(), answer.status, media_type=answer.content_type)

    return [Route("/{path:path}", forward, methods=["POST"])]


async def runtime_routes(target: str, state: "State") -> list[BaseRoute]:
    """The runtime before the agent and nine others like it."""
    from lmos.llm import embedder
    from lmos.router import VectorRouter
    from lmos.runtime import Routings, Supervisor, app
    from lmos.store import MemoryStore

    store = MemoryStore()
    await fill(store, target)
    routings = Routings(store, embedder())
    await routings.refresh()
    return app.routes(Supervisor(routings, VectorRouter(embedder()), state))


async def fill(store: Any, target: str) -> None:
    from lmos import model

    groups = []
    for number in range(10):
        name = "billing-agent" if number == 0 else f"agent-{number}"
        examples = tuple(f"please do task {n} of kind {number}" for n in range(9))
        offer = model.Capability(
            name=f"task-{number}",
            version="1.0.0",
            examples=(*examples, "how much do I owe" if number == 0 else f"kind {number}"),
        )
        status = model.AgentStatus(address=model.AgentAddress(url=target))
        agent = model.Agent(
            metadata=model.ObjectMeta(name=name),
            spec=model.AgentSpec(provided_capabilities=(offer,)),
            status=status,
        )
        await store.apply(agent, "bench")
        await store.patch_status(agent)
        routed = model.RoutedCapability(name=offer.name, provided_version="1.0.0")
        groups.append(model.CapabilityGroup(name=name, capabilities=(routed,)))
    labels = {"tenant": "acme", "channel": "web", "subset": "stable"}
    await store.apply(
        model.ChannelRouting(
            metadata=model.ObjectMeta(name="acme-web", labels=labels),
            spec=model.ChannelRoutingSpec(capability_groups=tuple(groups)),
        ),
        "bench",
    )


async def serve(role: str, target: str, spec: str) -> None:
    """Serves a role on a free port and says which."""
    from lmos.local.process import listen
    from lmos.state import open_state

    match role:
        case "agent":
            routes = agent_routes()
        case "proxy":
            routes = proxy_routes(target)
        case _:
            routes = await runtime_routes(target, open_state(spec))
    listener = listen()
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(Starlette(routes=routes), log_level="error", access_log=False)
    await uvicorn.Server(config).serve([listener])


def start(role: str, target: str = "", state: str = "memory") -> tuple[Process, str]:
    process = subprocess.Popen(
        [sys.executable, __file__, "--role", role, "--target", target, "--state", state],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, f"http://127.0.0.1:{process.stdout.readline().strip()}"


# --- the load -------------------------------------------------------------------------------------


def a2a_body(text: str) -> bytes:
    message = {"messageId": f"m{next(_numbers)}", "role": "ROLE_USER", "parts": [{"text": text}]}
    return json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": message}}
    ).encode()


def rest_body(text: str) -> bytes:
    return json.dumps(
        {
            "inputContext": {"messages": [{"role": "user", "content": text}]},
            "systemContext": {"channelId": "web"},
        }
    ).encode()


class Connection(asyncio.Protocol):
    """A connection that is kept, for one request at a time."""

    def __init__(self) -> None:
        self._read = bytearray()
        self._answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, body = self._read.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        if found and len(body) >= length and not self._answer.done():
            self._answer.set_result(bytes(self._read))

    def connection_lost(self, error: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_exception(error or ConnectionError("closed without an answer"))

    async def post(self, host: str, path: str, body: bytes) -> bytes:
        """The response, head and body."""
        self._read.clear()
        self._answer = asyncio.get_running_loop().create_future()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"A2A-Version: 1.0\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._transport.write(head.encode() + body)
        return await self._answer

    def close(self) -> None:
        self._transport.abort()


async def load(
    url: Callable[[], str], body: Callable[[str], bytes], turns: int, callers: int
) -> dict[str, float]:
    """The turns from so many callers: milliseconds and turns a second."""
    took: list[float] = []
    left = iter(range(turns))

    async def caller() -> None:
        host = urlsplit(url()).netloc
        name, _, port = host.partition(":")
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, name, int(port))
        try:
            for _ in left:
                began = time.perf_counter()
                answer = await connection.post(host, urlsplit(url()).path, body(TEXT))
                took.append((time.perf_counter() - began) * 1000)
                assert answer.startswith(b"HTTP/1.1 200"), answer
                assert TEXT.encode() in answer, answer
        finally:
            connection.close()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as callings:
        for _ in range(callers):
            callings.create_task(caller())
    seconds = time.perf_counter() - began
    cuts = statistics.quantiles(took, n=100)
    return {
        "p50_ms": round(cuts[49], 3),
        "p99_ms": round(cuts[98], 3),
        "turns_per_second": round(turns / seconds),
    }


async def embedding(url: str) -> dict[str, float]:
    """What deciding on messages never seen takes, and how much of it is embedding them."""
    embed, decide = [], []
    async with aiohttp.ClientSession() as session:
        for number in range(200):
            text = {"text": f"I would like to know what I owe for month number {number}"}
            path = "/apis/v1/tenants/acme/channels/web/decision"
            async with session.post(url + path, json=text) as answer:
                timings = (await answer.json())["timings"]
            embed.append(timings["embed"])
            decide.append(timings["decide"])
    return {
        "embed_p50_ms": round(statistics.median(embed), 2),
        "decide_p50_ms": round(statistics.median(decide), 3),
    }


def megabytes(process: Process) -> int:
    return round(psutil.Process(process.pid).memory_info().rss / 1_048_576)


def cpu_ms(process: Process) -> float:
    times = psutil.Process(process.pid).cpu_times()
    return (times.user + times.system) * 1000


@dataclass(frozen=True)
class Path:
    """A way to the agent: where to post what, and the processes that take part."""

    url: Callable[[], str]
    body: Callable[[str], bytes]
    parts: dict[str, Process]

    async def measure(self, turns: int, callers: int) -> dict[str, Any]:
        before = {name: cpu_ms(process) for name, process in self.parts.items()}
        found: dict[str, Any] = await load(self.url, self.body, turns, callers)
        found["cpu_ms"] = {
            name: round((cpu_ms(process) - before[name]) / turns, 2)
            for name, process in self.parts.items()
        }
        return found


async def measure(turns: int, state: str, directory: str) -> dict[str, Any]:
    agent, direct = start("agent")
    proxy, through = start("proxy", direct)
    spec = f"sqlite:{directory}/state.db" if state == "sqlite" else state
    runtime, ours = start("runtime", direct, spec)
    parts = {"agent": agent, "proxy": proxy, "runtime": runtime}
    paths = {
        "agent": Path(lambda: f"{direct}/a2a", a2a_body, {"agent": agent}),
        "proxy": Path(lambda: f"{through}/a2a", a2a_body, {"agent": agent, "proxy": proxy}),
        "runtime": Path(
            lambda: f"{ours}/apis/v1/acme/chat/c{next(_numbers)}/message",
            rest_body,
            {"agent": agent, "runtime": runtime},
        ),
    }
    try:
        found: dict[str, Any] = {"cores": os.cpu_count(), "turns": turns, "state": state}
        for name, path in paths.items():
            await load(path.url, path.body, WARM_UP, 4)
            found[name] = {f"at_{n}": await path.measure(turns, n) for n in (1, 32)}
        found["embedding"] = await embedding(ours)
        found["memory_mb"] = {name: megabytes(process) for name, process in parts.items()}
        return found
    finally:
        for process in parts.values():
            process.terminate()
            process.wait(20)


def main() -> None:
    from lmos.protocols import loop

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=2000)
    parser.add_argument("--state", default="memory", help="memory or sqlite")
    parser.add_argument("--role", choices=["agent", "proxy", "runtime"])
    parser.add_argument("--target", default="")
    given = parser.parse_args()
    if given.role:
        loop.run(serve(given.role, given.target, given.state))
    else:
        with tempfile.TemporaryDirectory() as directory:
            found = loop.run(measure(given.turns, given.state, directory))
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
