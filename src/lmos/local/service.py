"""The runtime alone, as a service: routings from elsewhere, turns in, agents asked.

It is the runtime that `lmos up` runs, composed with another source of routings and, where it can be
reached from other machines, with identities. When it is asked to end it says so to who watches
`/health/ready`, takes no new connections, and gives running turns `GRACE` seconds.
"""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from starlette.applications import Starlette

from lmos import runtime
from lmos.controlplane import api
from lmos.llm.kept import KeptVectors
from lmos.local.identity import Known, check_open, identified, identity_words
from lmos.local.routing import Routing, embedding, indexes, warm_up, words_of
from lmos.local.server import claim, serving, url_of
from lmos.model import State
from lmos.protocols import connecting
from lmos.protocols.loop import settled
from lmos.protocols.tokens import RUNTIME
from lmos.router import DEFAULT
from lmos.runtime import Routings, Supervisor, identity
from lmos.runtime import app as runtime_app
from lmos.runtime.sources import Source, open_source
from lmos.state import open_state
from lmos.telemetry import start_tracing

log = logging.getLogger("lmos.runtime")

DEFAULT_PORT = 8081


@dataclass(frozen=True, slots=True)
class Settings:
    """How the service runs. `state` is as `open_state` reads it, `routings` and `identity` as
    `open_source` does; without `identity` everybody may ask, which `open` must allow where others
    than this machine can. `token` is for the control plane that has the routings.
    """

    routings: str
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    router: str = DEFAULT
    model: str = "auto"
    fit: Path | None = None
    state: str = "sqlite"
    directory: Path = Path(".lmos/state")
    identity: str = ""
    open: bool = False
    signing_key: Path | None = None
    issuer: str = RUNTIME
    token: str = ""
    origins: tuple[str, ...] = ()


class Service:
    """Runs until `stop` is called; what it has open is closed then. `InvalidInput` on making it
    where it would be open to others by mistake, or cannot listen.
    """

    def __init__(self, settings: Settings) -> None:
        check_open(settings.host, bool(settings.identity), settings.open)
        self.settings = settings
        self.started = asyncio.Event()
        self._listener = claim(settings.host, settings.port)
        self._stop = asyncio.Event()
        self._source: Source | None = None
        self._warm = False
        self._router_words = settings.router

    @property
    def url(self) -> str:
        """Where it answers."""
        return url_of(self._listener)

    def stop(self) -> None:
        """Asks it to finish running turns and end."""
        self._stop.set()

    async def run(self) -> None:
        """Serves until stopped."""
        settings = self.settings
        start_tracing("lmos-runtime")
        routing = Routing(settings.router, settings.model, settings.fit)
        opened_router = partial(routing.open, embedding(), settings.directory)
        router = opened_router()
        self._router_words = words_of(router)
        async with AsyncExitStack() as stack:
            stack.callback(self._listener.close)
            stack.push_async_callback(connecting.disconnect)
            state = open_state(settings.state, settings.directory, "runtime")
            stack.push_async_callback(state.close)
            opened = open_source(settings.routings, token=settings.token)
            source = self._source = await stack.enter_async_context(opened)
            known = await stack.enter_async_context(
                identified(
                    settings.identity,
                    signing_key=settings.signing_key,
                    issuer=settings.issuer,
                    token=settings.token,
                )
            )
            vectors = KeptVectors(embedding(), settings.directory / "vectors.sqlite")
            routings = await stack.enter_async_context(
                Routings(source.store, vectors, indexes(), source.fetch)
            )
            supervisor = Supervisor(
                routings,
                router,
                state,
                settings=runtime.Settings.read(os.environ),
                sign=known.sign,
                open_router=opened_router,
            )
            stack.push_async_callback(supervisor.stop)
            app = self._app(supervisor, source, known)
            await stack.enter_async_context(serving(app, self._listener, supervisor.cut_off))
            await stack.enter_async_context(self._warming(source, routings))
            self.started.set()
            await self._stop.wait()

    # --- parts ------------------------------------------------------------------------------------

    def _app(self, supervisor: Supervisor, source: Source, known: Known) -> Starlette:
        serving = known.serving(self._shared(supervisor.state), self._waiting_for)
        routes = [
            *runtime_app.routes(supervisor, serving),
            *identity.for_users(
                route for p in runtime_app.PREFIXES for route in api.tenant_routes(source.store, p)
            ),
        ]
        return runtime_app.application(routes, known.tenants, origins=self.settings.origins)

    def _shared(self, state: State) -> State | None:
        """The state, where it is one that several runtimes reach."""
        return state if "://" in self.settings.state else None

    def _waiting_for(self) -> str:
        """Why turns should go elsewhere, empty when they need not."""
        if self._stop.is_set():
            return "the runtime is stopping"
        if self._source is None:
            return "the runtime is starting"
        return self._source.waiting_for() or ("" if self._warm else "tables are being built")

    @asynccontextmanager
    async def _warming(self, source: Source, routings: Routings) -> AsyncGenerator[None, None]:
        """Beside the block: builds the first tables, and loads the model that turns need."""

        async def warm() -> None:
            while source.waiting_for():  # noqa: ASYNC110  (a source tells when it is asked)
                await asyncio.sleep(0.02)
            await routings.refresh()
            await warm_up()
            self._warm = True

        task = asyncio.create_task(warm())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def lines(self) -> list[str]:
        """What runs and where, for people."""
        settings, source = self.settings, self._source
        return [
            f"  routings   {source.name if source else settings.routings}",
            f"  router     {self._router_words}    state {settings.state.partition('://')[0]}",
            f"  identity   {identity_words(settings.identity)}",
            f"  api        {self.url}/apis/v1    stop with Ctrl-C",
        ]


async def serve(service: Service) -> None:
    """Runs the service until SIGINT or SIGTERM, and says where it is."""
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, service.stop)
    running = asyncio.create_task(service.run())
    started = asyncio.create_task(service.started.wait())
    await asyncio.wait([running, started], return_when=asyncio.FIRST_COMPLETED)
    if service.started.is_set():
        print("\n".join(service.lines()), flush=True)  # noqa: T201
        settled()
    started.cancel()
    await running
