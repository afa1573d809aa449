"""The processes of a soak: agents that can be made to fail, and runtimes that share their state."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

#: Seconds that an agent takes to answer.
WORK = float(os.environ.get("SOAK_WORK", "1"))
OWE, STORY = "how much do I owe you?", "tell me a long story"
#: Agents, by name: version, capability, subset. Either of the first two can do what both do.
AGENTS = {
    "billing": ("1.0.0", "view-bill", "stable"),
    "billing-too": ("1.0.0", "view-contract", "stable"),
    "stories": ("1.0.0", "tell-story", "stable"),
    "billing-next": ("2.0.0", "view-bill", "canary"),
}
EXAMPLES = {
    "view-bill": ("how much do I owe", "show me my bill"),
    "view-contract": ("show me my contract", "when does my contract end"),
    "tell-story": ("tell me a long story", "tell me a tale"),
}
VERSIONS = {subset: version for version, _, subset in AGENTS.values()}


class Part:
    """A process on a port of its own, which it has again when it is started again."""

    def __init__(self, role: str, name: str, **environment: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.name = name
        self.url = f"http://127.0.0.1:{self.port}"
        self._role = role
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        arguments = ["--role", self._role, "--name", self.name, "--port", str(self.port)]
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent), *arguments],
            env={**os.environ, **self._environment},
        )

    def kill(self) -> None:
        """Ends it at once, as a crash would."""
        if self._process:
            self._process.kill()
            self._process.wait(20)

    def hang(self) -> None:
        """Stops it where it is."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(number)

    def megabytes(self) -> float:
        assert self._process
        return float(psutil.Process(self._process.pid).memory_info().rss / 1_048_576)

    def start_again(self) -> None:
        self.start()
        self.wait()

    def wait(self) -> None:
        """Until it answers."""
        ends = time.monotonic() + 60
        while not self._answers():
            if time.monotonic() > ends:
                raise TimeoutError(f"{self.name} did not start")
            time.sleep(0.05)

    def _answers(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=2) as found:
            return bool(found.status == 200)
        return False

    def behave(self, mode: str) -> None:
        """From now on the agent does so."""
        request = urllib.request.Request(f"{self.url}/behave/{mode}", method="POST")
        urllib.request.urlopen(request, timeout=5).close()


# --- agents ---------------------------------------------------------------------------------------


class Fault:
    """Does something else with a turn than its agent would, while it is told to."""

    def __init__(self, app: ASGIApp) -> None:
        self.mode = "well"
        self._app = app

    async def behave(self, request: Request) -> Response:
        self.mode = request.path_params["mode"]
        return Response()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/a2a" or self.mode == "well":
            await self._app(scope, receive, send)
            return
        if self.mode == "slowly":
            await asyncio.sleep(4 * WORK)
            await self._app(scope, receive, send)
            return
        head = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        half = b'data: {"jsonrpc":"2.0","id":1,"result":{"ta'
        body = b"data: \xff\xfe garbage\n\n" if self.mode == "garbage" else half
        await send({"type": "http.response.body", "body": body, "more_body": True})
        if self.mode == "garbage":
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        raise ConnectionError("closing in the middle, as told")  # uvicorn cuts the connection


def agent(name: str) -> ASGIApp:
    """An agent that says who it is, which conversation and turn it answers, and which turns it
    sees in the history. Asked for a story it tells what goes on, in pieces of so many bytes.
    """
    from lmos.model import (
        Answer,
        Description,
        Done,
        Message,
        Started,
        StatusUpdate,
        Turn,
        TurnEvent,
    )
    from lmos.protocols import a2a

    version = AGENTS[name][0]

    async def tell(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        yield Started(agent=name, version=version)
        if turn.text == STORY:
            ends = time.monotonic() + float(turn.system_context["seconds"])
            while time.monotonic() < ends:
                yield StatusUpdate(text="x" * int(turn.system_context["bytes"]))
                await asyncio.sleep(0.05)
            yield Answer(message=Message(role="assistant", content="the end"))
            yield Done()
            return
        await asyncio.sleep(WORK)
        token = turn.system_context["token"]
        said = f"{name} {version} {turn.conversation_id} {token}"
        seen = [m.content.split()[3] for m in turn.history if m.role == "assistant"]
        yield Answer(
            message=Message(role="assistant", content=said), context={"seen": " ".join(seen)}
        )
        yield Done()

    routes = [*a2a.routes(tell, Description(name=name, version=version))]
    inner = Starlette(routes=routes)
    fault = Fault(inner)
    inner.router.routes += [
        Route("/behave/{mode}", fault.behave, methods=["POST"]),
        Route("/health", lambda _: Response()),
    ]
    return fault


# --- runtimes -------------------------------------------------------------------------------------


async def runtime(spec: str, urls: dict[str, str]) -> ASGIApp:
    """A runtime before the agents at these URLs."""
    from lmos.llm import embedder
    from lmos.protocols import http
    from lmos.router import VectorRouter
    from lmos.runtime import Routings, Settings, Supervisor, app
    from lmos.state import open_state
    from lmos.store import MemoryStore

    store = MemoryStore()
    for resource in resources(urls):
        await store.apply(resource, "soak")
        if resource.kind == "Agent":
            await store.patch_status(resource)
    routings = Routings(store, embedder())
    await routings.refresh()
    supervisor = Supervisor(
        routings, VectorRouter(embedder()), open_state(spec), settings=Settings.read(os.environ)
    )
    return Starlette(routes=app.routes(supervisor), exception_handlers=http.exception_handlers)


def resources(urls: dict[str, str]) -> list[Any]:
    """The agents, and a routing for each subset."""
    from lmos import model

    found: list[Any] = []
    groups: dict[str, list[model.CapabilityGroup]] = {}
    for name, (version, capability, subset) in AGENTS.items():
        offers = {capability, "view-bill"} if name == "billing-too" else {capability}
        provided = tuple(
            model.Capability(name=offer, version=version, examples=EXAMPLES[offer])
            for offer in sorted(offers)
        )
        found.append(
            model.Agent(
                metadata=model.ObjectMeta(name=name),
                spec=model.AgentSpec(version=version, provided_capabilities=provided),
                status=model.AgentStatus(address=model.AgentAddress(url=urls[name])),
            )
        )
        routed = model.RoutedCapability(
            name=capability, provided_version=version, required_version=f"^{version}"
        )
        group = model.CapabilityGroup(name=name, capabilities=(routed,))
        groups.setdefault(subset, []).append(group)
    for subset, members in groups.items():
        labels = {"tenant": "acme", "channel": "web", "subset": subset}
        found.append(
            model.ChannelRouting(
                metadata=model.ObjectMeta(name=f"acme-web-{subset}", labels=labels),
                spec=model.ChannelRoutingSpec(capability_groups=tuple(members)),
            )
        )
    return found


async def serve(role: str, name: str, port: int) -> None:
    """Serves a part until it is ended."""
    if role == "agent":
        app = agent(name)
    else:
        app = await runtime(os.environ["SOAK_STATE"], json.loads(os.environ["SOAK_AGENTS"]))
    config = uvicorn.Config(app, port=port, log_level="critical", access_log=False)
    await uvicorn.Server(config).serve()
