"""The page on a real server, over a store and a responder that the tests hold in hand."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lmos import console as room
from lmos.controlplane import EventLog
from lmos.local.server import Server, claim, url_of
from lmos.model import (
    Agent,
    AgentSpec,
    AgentStatus,
    Answer,
    Candidate,
    Capability,
    CapabilityGroup,
    Channel,
    ChannelRouting,
    ChannelRoutingSpec,
    ChannelSpec,
    ChannelStatus,
    Condition,
    Decided,
    Decision,
    Done,
    Evidence,
    Failed,
    Message,
    ObjectMeta,
    RequiredCapability,
    Resource,
    RoutedCapability,
    Started,
    StatusUpdate,
    TextDelta,
    Turn,
    TurnEvent,
    UnresolvedCapability,
    Usage,
    errors,
)
from lmos.model.grammar import checked
from lmos.protocols import http
from lmos.store import MemoryStore

T = TypeVar("T")
KINDS = (Agent, Channel, ChannelRouting)
WAIT = 20.0

ROUTED = Decision(
    outcome="route",
    candidates=(
        Candidate(
            agent="billing-agent",
            capability="view_bill",
            probability=0.97,
            evidence=Evidence(agent="billing-agent", text="what do I <i>owe</i>", score=0.93),
        ),
        Candidate(agent="contract-agent", capability="show_contract", probability=0.02),
    ),
    confidence=0.97,
    reason="nearest to what billing-agent offers",
    timings={"embed": 4.4},
)
DECLINED = Decision(outcome="out_of_scope", confidence=0.9, reason="nothing is near")


def agent(name: str, capability: str, *, ready: bool = True, description: str = "") -> Agent:
    message = "answers" if ready else "does not answer at http://127.0.0.1:9"
    condition = Condition(
        type="Ready", status="True" if ready else "False", reason="Probe", message=message
    )
    return Agent(
        metadata=ObjectMeta(name=name),
        spec=AgentSpec(
            version="1.2.0",
            description=description,
            provided_capabilities=(Capability(name=capability, version="1.1.0"),),
        ),
        status=AgentStatus(conditions=(condition,)),
    )


def channel(name: str, met: list[str], unmet: list[UnresolvedCapability]) -> Channel:
    required = [RequiredCapability(name=n, version=">=1") for n in met]
    required += [RequiredCapability(name=u.name, version=u.version) for u in unmet]
    return Channel(
        metadata=ObjectMeta(name=f"acme-{name}", labels={"tenant": "acme", "channel": name}),
        spec=ChannelSpec(required_capabilities=tuple(required)),
        status=ChannelStatus(
            resolve_status="UNRESOLVED" if unmet else "RESOLVED",
            unresolved_required_capabilities=tuple(unmet),
        ),
    )


def routing(name: str, capabilities: list[str], subset: str = "stable") -> ChannelRouting:
    group = CapabilityGroup(
        name="billing-agent",
        capabilities=tuple(
            RoutedCapability(name=c, required_version=">=1", provided_version="1.1.0")
            for c in capabilities
        ),
    )
    labels = {"tenant": "acme", "channel": name, "subset": subset}
    return ChannelRouting(
        metadata=ObjectMeta(name=f"acme-{name}-{subset}", labels=labels),
        spec=ChannelRoutingSpec(capability_groups=(group,)),
    )


MISSING = UnresolvedCapability(
    name="change-tariff",
    version=">=2",
    message="no agent of tenant acme provides change-tariff >=2; nearest: contract-agent 1.0.3",
    nearest=("contract-agent 1.0.3",),
)
SEEDS: tuple[Resource, ...] = (
    agent("billing-agent", "view-bill", description="Bills of <b>customers</b>."),
    agent("contract-agent", "show-contract", ready=False),
    channel("web", ["view-bill"], []),
    channel("ivr", ["view-bill"], [MISSING]),
    routing("web", ["view-bill", "pay-bill"]),
    routing("web", ["view-bill"], subset="canary"),
    routing("ivr", ["view-bill"]),
)


def said(text: str, **context: str) -> Answer:
    return Answer(message=Message(role="assistant", content=text), context=context)


class Script:
    """A responder that does what the message says, word by word as the tests allow."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.turns: list[Turn] = []
        self.left = threading.Event()

    async def respond(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        self.turns.append(turn)
        declined = turn.text == "outside"
        yield Started(agent="lmos" if declined else "billing-agent", version="1.2.0")
        yield Decided(decision=DECLINED if declined else ROUTED)
        match turn.text:
            case "hand over":
                yield said("I know a better one.")
                yield StatusUpdate(text="handed over to contract-agent")
                yield said("Here I am.", agent="contract-agent")
            case "break":
                yield TextDelta(text="Half of what ")
                yield Failed.of(errors.AgentUnavailable("agent billing-agent went away"))
                return
            case "fault":
                raise RuntimeError("inside")
            case "forever":
                yield TextDelta(text="Once upon a time")
                try:
                    await asyncio.Event().wait()
                finally:
                    self.left.set()
            case _:
                yield TextDelta(text="Your bill ")
                await self.go_on.wait()
                yield TextDelta(text="is 42.50 EUR.")
                yield said("Your bill is 42.50 EUR.", useCase="view_bill")
        yield Done(usage=Usage(model="direct"))


class Console:
    """The page on a server of its own, in a loop of its own, in another thread."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.script = Script()
        self._listener = claim("127.0.0.1", 0)
        self.url = url_of(self._listener)
        self._loop: asyncio.AbstractEventLoop
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="console")

    def __enter__(self) -> "Console":
        self._thread.start()
        assert self._ready.wait(WAIT)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(WAIT)
        assert not self._thread.is_alive()

    def reset(self) -> None:
        self.call(self._reset())

    def change(self, resource: Resource) -> None:
        """Applies the resource, its status included."""
        self.call(self._apply(resource))

    def clear(self) -> None:
        self.call(self._clear())

    def record(self, reason: str, message: str, warning: bool = False) -> None:
        self._loop.call_soon_threadsafe(
            lambda: self.events.record(reason, message, warning=warning)
        )

    def go_on(self) -> None:
        self._loop.call_soon_threadsafe(self.script.go_on.set)

    def call(self, job: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(job, self._loop).result(WAIT)

    # --- in the loop ------------------------------------------------------------------------------

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            runner.run(self._serve())

    async def _serve(self) -> None:
        self.events = EventLog()
        self._server = Server(self._app(), self._listener)
        serving = asyncio.ensure_future(self._server.serve())
        await self._server.ready()
        self._ready.set()
        await serving

    def _app(self) -> Starlette:
        async def health(request: Request) -> JSONResponse:
            return JSONResponse({"status": "UP"})

        app = Starlette(
            routes=[Route("/health", health)], exception_handlers=http.exception_handlers
        )
        responder = checked(lambda turn: self.script.respond(turn))
        room.mount(app, store=self.store, responder=responder, events=self.events, title="A <test>")
        return app

    async def _apply(self, resource: Resource) -> None:
        await self.store.apply(resource, "test", force=True)
        await self.store.patch_status(resource)

    async def _clear(self) -> None:
        for kind in KINDS:
            for found in (await self.store.list(kind))[0]:
                await self.store.delete(found.key)

    async def _reset(self) -> None:
        self.script.__init__()  # type: ignore[misc]
        await self._clear()
        for resource in SEEDS:
            await self._apply(resource)
