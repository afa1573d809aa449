"""What a turn costs: the agent asked directly, through a bare proxy, and through the runtime.

    python bench/turn.py [--turns 2000]

Agent, proxy and runtime are processes of their own; the load comes from this one, over loopback.
The agent answers at once over A2A. The proxy is starlette, uvicorn and aiohttp and passes bytes on.
The runtime identifies the channel, routes (ten agents with ten examples each, the message's
embedding cached), keeps the conversation's history and speaks A2A to the agent. Embedding a message
that was never seen is shown apart. Prints JSON.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable
from itertools import count
from typing import Any

import aiohttp
import psutil
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

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


async def runtime_routes(target: str) -> list[BaseRoute]:
    """The runtime before the agent and nine others like it."""
    from lmos.llm import embedder
    from lmos.router import VectorRouter
    from lmos.runtime import Routings, Supervisor, app
    from lmos.state import MemoryState
    from lmos.store import MemoryStore

    store = MemoryStore()
    await fill(store, target)
    routings = Routings(store, embedder())
    await routings.refresh()
    return app.routes(Supervisor(routings, VectorRouter(embedder()), MemoryState()))


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


async def serve(role: str, target: str) -> None:
    """Serves a role on a free port and says which."""
    from lmos.local.process import listen

    match role:
        case "agent":
            routes = agent_routes()
        case "proxy":
            routes = proxy_routes(target)
        case _:
            routes = await runtime_routes(target)
    listener = listen()
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(Starlette(routes=routes), log_level="error", access_log=False)
    await uvicorn.Server(config).serve([listener])


def start(role: str, target: str = "") -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, __file__, "--role", role, "--target", target],
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


async def load(
    url: Callable[[], str], body: Callable[[str], bytes], turns: int, callers: int
) -> dict[str, float]:
    """The turns from so many callers: milliseconds and turns a second."""
    took: list[float] = []
    left = iter(range(turns))

    async def caller(session: aiohttp.ClientSession) -> None:
        headers = {"Content-Type": "application/json", "A2A-Version": "1.0"}
        for _ in left:
            began = time.perf_counter()
            async with session.post(url(), data=body(TEXT), headers=headers) as answer:
                content = await answer.read()
            took.append((time.perf_counter() - began) * 1000)
            assert answer.status == 200, content
            assert TEXT.encode() in content, content

    began = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(caller(session) for _ in range(callers)))
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


def megabytes(process: subprocess.Popen[str]) -> int:
    return round(psutil.Process(process.pid).memory_info().rss / 1_048_576)


async def measure(turns: int) -> dict[str, Any]:
    agent, direct = start("agent")
    proxy, through = start("proxy", direct)
    runtime, ours = start("runtime", direct)
    paths: dict[str, tuple[Callable[[], str], Callable[[str], bytes]]] = {
        "agent": (lambda: f"{direct}/a2a", a2a_body),
        "proxy": (lambda: f"{through}/a2a", a2a_body),
        "runtime": (lambda: f"{ours}/apis/v1/acme/chat/c{next(_numbers)}/message", rest_body),
    }
    try:
        found: dict[str, Any] = {"cores": os.cpu_count(), "turns": turns}
        for name, (url, body) in paths.items():
            await load(url, body, WARM_UP, 4)
            found[name] = {
                f"at_{callers}": await load(url, body, turns, callers) for callers in (1, 32)
            }
        found["embedding"] = await embedding(ours)
        found["memory_mb"] = {
            "agent": megabytes(agent), "proxy": megabytes(proxy), "runtime": megabytes(runtime),
        }  # fmt: skip
        return found
    finally:
        for process in (agent, proxy, runtime):
            process.terminate()
            process.wait(20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=2000)
    parser.add_argument("--role", choices=["agent", "proxy", "runtime"])
    parser.add_argument("--target", default="")
    arguments = parser.parse_args()
    if arguments.role:
        from lmos.protocols import loop

        loop.run(serve(arguments.role, arguments.target))
    else:
        print(json.dumps(asyncio.run(measure(arguments.turns)), indent=2))


if __name__ == "__main__":
    main()
