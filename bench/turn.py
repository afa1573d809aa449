"""What a turn costs: the agent asked directly, through a bare proxy, and through the runtime.

    python bench/turn.py [--seconds 5] [--state memory|sqlite|SPEC] [--workers 1]
    python bench/turn.py --flat 200000        memory while so many turns go by
    python bench/turn.py --litellm            LiteLLM's proxy beside ours: `bench/turn_litellm.py`

Agent, proxy, runtime and load are processes of their own, over loopback. The agent is nginx, which
answers at once with an A2A stream written beforehand, and the load wrk; where they are not
installed, an agent of ours and a client that does little more than write and read stand in
(`--ours` insists on them). The proxy is starlette, uvicorn and aiohttp and passes bytes on. The
runtime identifies the channel, routes (ten agents with ten examples each, the message's embedding
cached), orders the turns of a conversation, keeps its history and results to be repeated, and
speaks A2A to the agent. Each turn is a conversation of its own. With `--workers` so many processes
of the proxy and of the runtime share a port (SO_REUSEPORT), and the runtimes their state, which
then cannot be in memory.

The load says one thing again and again, on which the router has decided before. For `deciding` it
says more things than the router remembers, one after the other, so that it decides each time, with
their embeddings cached. Embedding a message that was never seen is shown apart. `cpu_ms` is the
processor time that the processes take for a turn, which other work on the machine changes least.
Prints JSON.
"""

import argparse
import asyncio
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from itertools import count
from typing import Any, cast
from urllib.parse import urlsplit

import aiohttp
import psutil
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

import turn_litellm

Process = subprocess.Popen[str]

TEXT = "how much do I owe you?"
#: Messages that are more than a router remembers, and seconds to embed them.
TEXTS, EMBEDDING = 1_500, 12
#: How many ask at once, and what is compared.
CALLERS = (1, 32)
KEYS = ("p50_ms", "p99_ms")
#: Conversations and seconds of a step while memory is looked at.
CONVERSATIONS, FLAT_SECONDS = 1000, 10.0
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


async def runtime_app(target: str, spec: str) -> Starlette:
    """The runtime before the agent and nine others like it."""
    from lmos.llm import embedder
    from lmos.router import VectorRouter
    from lmos.runtime import Routings, Supervisor, app
    from lmos.state import open_state
    from lmos.store import MemoryStore

    store = MemoryStore()
    await fill(store, target)
    routings = Routings(store, embedder())
    await routings.refresh()
    supervisor = Supervisor(routings, VectorRouter(embedder()), open_state(spec))
    return app.application(app.routes(supervisor))


async def fill(store: Any, target: str) -> None:
    from lmos import model

    groups = []
    protocol = "openai" if target.endswith("/v1") else "a2a"
    for number in range(10):
        name = "billing-agent" if number == 0 else f"agent-{number}"
        examples = tuple(f"please do task {n} of kind {number}" for n in range(9))
        offer = model.Capability(
            name=f"task-{number}",
            version="1.0.0",
            examples=(*examples, "how much do I owe" if number == 0 else f"kind {number}"),
        )
        status = model.AgentStatus(address=model.AgentAddress(url=target, protocol=protocol))
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


async def serve(role: str, target: str, spec: str, port: int) -> None:
    """Serves a role on the port, a free one for 0, and says on which."""
    from lmos.protocols.loop import settled

    match role:
        case "agent":
            app = Starlette(routes=agent_routes())
        case "proxy":
            app = Starlette(routes=proxy_routes(target))
        case _:
            app = await runtime_app(target, spec)
            settled()  # as the service does
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(1024)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(app, log_level="error", access_log=False)
    await uvicorn.Server(config).serve([listener])


class Part:
    """The processes of a role, on one port."""

    def __init__(self, role: str, target: str = "", state: str = "memory", workers: int = 1):
        self.processes: list[Process] = []
        port = "0"
        for _ in range(workers):
            arguments = ["--role", role, "--target", target, "--state", state, "--port", port]
            process = subprocess.Popen(
                [sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True
            )
            self.processes.append(process)
            assert process.stdout is not None
            port = process.stdout.readline().strip()
        self.url = f"http://127.0.0.1:{port}"

    def all(self) -> list[psutil.Process]:
        """Every process of it."""
        found = [psutil.Process(process.pid) for process in self.processes]
        return [each for one in found for each in (one, *one.children(recursive=True))]

    def megabytes(self) -> int:
        return round(sum(p.memory_info().rss for p in self.all()) / 1_048_576)

    def cpu_ms(self) -> float:
        return sum(t.user + t.system for t in (p.cpu_times() for p in self.all())) * 1000

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
            process.wait(20)


class Nginx(Part):
    """nginx as an agent that gives the same answer to everybody."""

    def __init__(self, directory: str) -> None:
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        file = pathlib.Path(directory) / "nginx.conf"
        told = {"port": port, "card": _card(self.url), "answer": _answer()}
        told |= {"whole": turn_litellm.completion(TEXT), "streamed": turn_litellm.chunks(TEXT)}
        file.write_text(NGINX % told)
        command = ["nginx", "-e", "stderr", "-p", directory, "-c", str(file)]
        self.processes = [subprocess.Popen(command, text=True)]
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.01)


class LiteLLM(Part):
    """LiteLLM's proxy before nginx."""

    def __init__(self, agent: str, workers: int, directory: str) -> None:
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        base = agent + turn_litellm.WHOLE
        self.processes = [turn_litellm.start(base, port, workers, directory)]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


NGINX = """
daemon off; worker_processes 1; pid nginx.pid; error_log stderr error;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 100000000; client_body_temp_path body;
  proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {
    listen 127.0.0.1:%(port)s;
    location /.well-known/ { default_type application/json; return 200 '%(card)s'; }
    location /whole/ { default_type application/json; return 200 '%(whole)s'; }
    location /streamed/ { default_type text/event-stream; return 200 '%(streamed)s'; }
    location / { default_type text/event-stream; return 200 '%(answer)s'; }
  }
}
"""


def _card(url: str) -> str:
    """The card of an agent that takes LMOS's turns."""
    from lmos.model import Description
    from lmos.protocols.a2a import card

    return json.dumps(card.card_of(Description(name="billing-agent", version="1.0.0"), url))


def _answer() -> str:
    """What our agent answers, as it goes over the wire."""
    from lmos.protocols.a2a.codec import COMPLETED, EXTENSION, WORKING

    said = {"role": "assistant", "content": TEXT}
    started = {"type": "started", "agent": "billing-agent", "version": "1.0.0"}
    where = {"taskId": "t", "contextId": "c"}
    updates: list[dict[str, Any]] = [
        {
            "task": {
                "id": "t",
                "contextId": "c",
                "status": {"state": WORKING},
                "metadata": {EXTENSION: {"events": [started]}},
            }
        },
        {
            "artifactUpdate": {
                **where,
                "artifact": {"artifactId": "answer-1", "parts": [{"text": TEXT}]},
                "metadata": {EXTENSION: {"event": {"type": "message", "message": said}}},
            }
        },
        {
            "statusUpdate": {
                **where,
                "status": {"state": COMPLETED},
                "metadata": {EXTENSION: {"event": {"type": "done"}}},
            }
        },
    ]
    results = ({"jsonrpc": "2.0", "id": "t", "result": update} for update in updates)
    return "".join(f"data: {json.dumps(result)}\n\n" for result in results)


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
    url: str, body: bytes, seconds: float, callers: int, conversations: int
) -> dict[str, Any]:
    """Turns from so many callers for so long: milliseconds and turns a second."""
    took: list[float] = []
    parts = urlsplit(url)
    ends = time.perf_counter() + seconds

    async def caller() -> None:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, parts.hostname, parts.port)
        try:
            while (began := time.perf_counter()) < ends:
                path = parts.path.replace("NUMBER", str(next(_numbers) % conversations))
                asked = body.replace(b"NUMBER", str(next(_numbers) % TEXTS).encode())
                answer = await connection.post(parts.netloc, path, asked)
                took.append((time.perf_counter() - began) * 1000)
                assert answer.startswith(b"HTTP/1.1 200"), answer
                assert TEXT.encode() in answer, answer
        finally:
            connection.close()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as callings:
        for _ in range(callers):
            callings.create_task(caller())
    cuts = statistics.quantiles(took, n=100)
    return {
        "p50_ms": round(cuts[49], 3),
        "p99_ms": round(cuts[98], 3),
        "turns_per_second": round(len(took) / (time.perf_counter() - began)),
        "turns": len(took),
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


WRK = """
local n = START
request = function()
  n = n + 1
  local path = wrk.path:gsub("NUMBER", tostring(n % CONVERSATIONS))
  return wrk.format("POST", path, nil, (wrk.body:gsub("NUMBER", tostring(n % TEXTS))))
end
done = function(summary, latency, requests)
  local failed = 0
  for _, count in pairs(summary.errors) do failed = failed + count end
  io.write(string.format("\\n%d %d %d %d %d\\n", summary.requests, summary.duration, failed,
    latency:percentile(50), latency:percentile(99)))
end
wrk.headers["Content-Type"] = "application/json"
wrk.headers["A2A-Version"] = "1.0"
wrk.body = [[BODY]]
"""


async def wrk(
    url: str, body: bytes, seconds: float, callers: int, conversations: int
) -> dict[str, Any]:
    """Turns from so many callers for so long, by wrk."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        text = WRK.replace("BODY", body.decode()).replace("CONVERSATIONS", str(conversations))
        text = text.replace("TEXTS", str(TEXTS)).replace("START", str(next(_numbers) * 1_500_000))
        script.write(text)
        script.flush()
        arguments = [
            "-t1",
            f"-c{callers}",
            f"-d{seconds:g}s",
            "--timeout",
            "60s",
            "-s",
            script.name,
            url,
        ]
        process = await asyncio.create_subprocess_exec("wrk", *arguments, stdout=subprocess.PIPE)
        out, _ = await process.communicate()
    turns, took, failed, p50, p99 = map(int, out.split()[-5:])
    assert not failed, out.decode()
    return {
        "p50_ms": round(p50 / 1000, 3),
        "p99_ms": round(p99 / 1000, 3),
        "turns_per_second": round(turns / took * 1_000_000),
        "turns": turns,
    }


@dataclass(frozen=True)
class Way:
    """A way to the agent: where to post what, and the parts on it. `NUMBER` in the path or the body
    is another one for each turn. `warm_up` is in seconds.
    """

    url: str
    body: bytes
    parts: dict[str, Part]
    warm_up: float = 1

    async def measure(
        self, seconds: float, callers: int, ours: bool, conversations: int = 1_000_000_000
    ) -> dict[str, Any]:
        before = {name: part.cpu_ms() for name, part in self.parts.items()}
        if ours:
            found: dict[str, Any] = await load(self.url, self.body, seconds, callers, conversations)
        else:
            found = await wrk(self.url, self.body, seconds, callers, conversations)
        turns = found.pop("turns")
        found["cpu_ms"] = {
            name: round((part.cpu_ms() - before[name]) / turns, 3)
            for name, part in self.parts.items()
        }
        return found


def started(given: argparse.Namespace, directory: str) -> tuple[dict[str, Part], dict[str, Way]]:
    """The parts, and the ways through them."""
    spec = f"sqlite:{directory}/state.db" if given.state == "sqlite" else given.state
    agent = Part("agent") if given.ours else Nginx(directory)
    proxy = Part("proxy", agent.url, workers=given.workers)
    runtime = Part("runtime", agent.url, spec, given.workers)
    ours = f"{runtime.url}/apis/v1/acme/chat/cNUMBER/message"
    return {"agent": agent, "proxy": proxy, "runtime": runtime}, {
        "agent": Way(f"{agent.url}/a2a", a2a_body(TEXT), {"agent": agent}),
        "proxy": Way(f"{proxy.url}/a2a", a2a_body(TEXT), {"agent": agent, "proxy": proxy}),
        "runtime": Way(ours, rest_body(TEXT), {"agent": agent, "runtime": runtime}),
        "deciding": Way(
            ours, rest_body(f"{TEXT} NUMBER"), {"agent": agent, "runtime": runtime}, EMBEDDING
        ),
    }


def beside_litellm(
    given: argparse.Namespace, directory: str, agent: Part
) -> tuple[dict[str, Part], dict[str, Way]]:
    """LiteLLM's proxy and ours, both asked for chat completions."""
    spec = f"sqlite:{directory}/openai.db" if given.state == "sqlite" else given.state
    ours = Part("runtime", agent.url + turn_litellm.STREAMED, spec, given.workers)
    theirs = LiteLLM(agent.url, given.workers, directory)
    ways = {}
    models: dict[str, tuple[Part, str]] = {
        "litellm": (theirs, turn_litellm.MODEL),
        "runtime_openai": (ours, turn_litellm.CHANNEL),
    }
    for name, (part, model) in models.items():
        url = f"{part.url}/v1/chat/completions"
        turn_litellm.check(url, model, TEXT)
        ways[name] = Way(url, turn_litellm.body(model, TEXT), {"agent": agent, name: part})
    return {"litellm": theirs, "runtime_openai": ours}, ways


async def measure(given: argparse.Namespace, directory: str) -> dict[str, Any]:
    parts, ways = started(given, directory)
    try:
        if given.litellm:
            more = beside_litellm(given, directory, parts["agent"])
            parts, ways = parts | more[0], ways | more[1]
        found: dict[str, Any] = {
            "cores": os.cpu_count(),
            "workers": given.workers,
            "state": given.state,
            "agent_is": "ours" if given.ours else "nginx",
        }
        for name, way in ways.items():
            await way.measure(way.warm_up, 4, given.ours)
            found[name] = {
                f"at_{n}": await way.measure(given.seconds, n, given.ours) for n in CALLERS
            }
        found["times_the_proxy"] = {
            at: {key: round(found["runtime"][at][key] / found["proxy"][at][key], 2) for key in KEYS}
            for at in found["runtime"]
        }
        found["embedding"] = await embedding(parts["runtime"].url)
        found["memory_mb"] = {name: part.megabytes() for name, part in parts.items()}
        return found
    finally:
        for part in parts.values():
            part.stop()


async def flat(given: argparse.Namespace, directory: str) -> dict[str, Any]:
    """The runtime's memory while the turns of a thousand conversations go by."""
    parts, ways = started(given, directory)
    try:
        way, memory, turns = ways["runtime"], {}, 0
        while turns < given.flat:
            found = await way.measure(FLAT_SECONDS, 32, given.ours, CONVERSATIONS)
            turns += round(found["turns_per_second"] * FLAT_SECONDS)
            memory[turns] = parts["runtime"].megabytes()
            print(f"{turns} turns: {memory[turns]} MB", file=sys.stderr)
        return {"conversations": CONVERSATIONS, "state": given.state, "memory_mb": memory}
    finally:
        for part in parts.values():
            part.stop()


def main() -> None:
    from lmos.protocols import loop

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--state", default="memory", help="memory, sqlite or an address")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--flat", type=int, default=0, metavar="TURNS")
    parser.add_argument("--litellm", action="store_true", help="LiteLLM's proxy, too")
    parser.add_argument("--ours", action="store_true", help="our agent, our load")
    parser.add_argument("--role", choices=["agent", "proxy", "runtime"])
    parser.add_argument("--target", default="")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    if given.role:
        loop.run(serve(given.role, given.target, given.state, given.port))
        return
    if given.workers > 1 and given.state == "memory":
        parser.error("several workers need a state that they can share: --state sqlite")
    given.ours = given.ours or not (shutil.which("nginx") and shutil.which("wrk"))
    if given.litellm and given.ours:
        parser.error("--litellm needs nginx and wrk")
    with tempfile.TemporaryDirectory() as directory:
        found = loop.run((flat if given.flat else measure)(given, directory))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
