"""The platform on this machine: the rooms composed, on one port and one event loop."""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.responses import RedirectResponse
from starlette.routing import BaseRoute, Route

from lmos import llm, registry
from lmos.controlplane import ControlPlane, EventLog, api
from lmos.llm.kept import KeptVectors
from lmos.local import watching
from lmos.local.agents import LocalAgents
from lmos.local.banner import banner
from lmos.local.identity import Known, check_open, identified
from lmos.local.output import Output
from lmos.local.project import Project
from lmos.local.routing import Routing, embedding, indexes, warm_up, words_of
from lmos.local.server import claim, serving, url_of
from lmos.model import Agent, Channel, errors
from lmos.protocols import connecting
from lmos.protocols.loop import settled
from lmos.router import Router
from lmos.runtime import Routings, Settings, Supervisor, identity
from lmos.runtime import app as runtime_app
from lmos.state import open_state
from lmos.store import DirectoryStore
from lmos.telemetry import start_tracing, stop_tracing

SETTLE_TIMEOUT = 30.0


class Platform:
    """Runs a project until `stop` is called or it is cancelled; nothing is left running then.

    `identity` is where the Tenants with their keys are, as `open_source` reads it; without it
    everybody on this machine may ask, and others only where `open_to_all` says so. With it there is
    no page, which knows no keys. `after_start` is awaited once everything has settled.
    """

    def __init__(
        self,
        project: Project,
        *,
        host: str = "127.0.0.1",
        port: int | None = None,
        console: bool = True,
        identity: str = "",
        open_to_all: bool = False,
        routing: Routing | None = None,
        output: Output | None = None,
        after_start: "Callable[[Platform], Awaitable[None]] | None" = None,
    ) -> None:
        check_open(host, bool(identity), open_to_all)
        self.project = project
        self.events = EventLog()
        self._identity = identity
        self._console = console and not identity
        self._output = output or Output()
        self._routing = routing or Routing()
        self._after_start = after_start
        self._listener = claim(host, port)
        self._stop = asyncio.Event()
        self._settled = False

    @property
    def url(self) -> str:
        """Where the platform answers."""
        return url_of(self._listener)

    @property
    def started(self) -> bool:
        """Whether everything has settled once."""
        return self._settled

    @property
    def stopping(self) -> bool:
        """Whether `stop` has been called."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Asks the platform to finish running turns and end."""
        self._stop.set()

    async def run(self) -> None:
        """Starts everything, says where it is, and runs until stopped."""
        start_tracing("lmos")
        self._output.progress("loading the embedding model")
        state = open_state(os.environ.get("LMOS_STATE") or "sqlite", self.project.state)
        try:
            async with (
                DirectoryStore(
                    self.project.directory, on_problem=self._problem, on_mended=self._mended
                ) as store,
                self._agents(store) as agents,
                ControlPlane(
                    store, describe=registry.describe, probe=registry.probe, events=self.events
                ),
                Routings(store, self._table_embedder(), indexes()) as routings,
                identified(self._identity) as known,
            ):
                opened = partial(self._routing.open, embedding(), self.project.directory)
                router = opened()
                supervisor = Supervisor(
                    routings,
                    router,
                    state,
                    settings=Settings.read(os.environ),
                    shared="://" in os.environ.get("LMOS_STATE", ""),
                    open_router=opened,
                    sign=known.sign,
                )
                app = self._app(store, supervisor, known)
                try:
                    async with serving(app, self._listener, supervisor.cut_off):
                        await self._started(store, agents, routings, router)
                        await self._stop.wait()
                        self._output.line("stopping")
                finally:
                    await supervisor.stop()
        finally:
            self._listener.close()
            await connecting.disconnect()
            await state.close()
            await asyncio.to_thread(stop_tracing)

    # --- parts ------------------------------------------------------------------------------------

    def _table_embedder(self) -> KeptVectors:
        """What embeds the texts of tables, and those alone: users' messages stay off the disk."""
        return KeptVectors(embedding(), self.project.state / "vectors.sqlite")

    @asynccontextmanager
    async def _agents(self, store: DirectoryStore) -> AsyncGenerator[LocalAgents, None]:
        """The agents' processes, loaded again when their files change."""
        trust = self.url if self._identity else ""  # without it there are no claims to believe
        agents = LocalAgents(self.project, store, self.events, self._output, trust=trust)
        async with agents:
            changes = asyncio.create_task(self._reload(agents))
            try:
                yield agents
            finally:
                changes.cancel()
                await asyncio.gather(changes, return_exceptions=True)

    async def _reload(self, agents: LocalAgents) -> None:
        async for changed in watching.changes(self.project):
            await agents.changed(changed)

    def _app(self, store: DirectoryStore, supervisor: Supervisor, known: Known) -> Starlette:
        routes: list[BaseRoute] = [
            *runtime_app.routes(supervisor, known.serving()),
            *identity.for_users(api.tenant_routes(store)),
            *api.routes(store, self.events),
        ]
        if not self._console:
            home = Route("/", lambda _: RedirectResponse("/health"))
            routes += identity.open_to_all([home])
        app = runtime_app.application(routes, known.tenants)
        if self._console:
            self._mount_console(app, store, supervisor)
        return app

    def _mount_console(self, app: Starlette, store: DirectoryStore, supervisor: Supervisor) -> None:
        from lmos import console  # NiceGUI takes a second and a half to import

        try:
            title = self.project.directory.name
            console.mount(
                app, store=store, responder=supervisor.respond, events=self.events, title=title
            )
        except errors.MissingExtra as missing:
            self._console = False
            self._output.line(f"  no page: {missing}")

    # --- telling ----------------------------------------------------------------------------------

    async def _started(
        self, store: DirectoryStore, agents: LocalAgents, routings: Routings, router: Router
    ) -> None:
        await agents.settled(lambda text: self._output.progress(text))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_quiet(store, routings, agents.names), SETTLE_TIMEOUT)
        if routings.all():
            await warm_up()
        found, _ = await store.list(Agent)
        channels, _ = await store.list(Channel)
        self._output.progress("")
        choice = llm.resolve_model("auto")
        self._output.line(
            banner(
                agents=found,
                workers=agents.workers,
                channels=channels,
                model=choice.name if choice.model else f"{choice.name} ({choice.why})",
                router=words_of(router),
                url=self.url,
                console=self._console,
                identity=self._identity,
                width=self._output.width,
            )
        )
        self._settled = True
        settled()
        if self._after_start:
            await self._after_start(self)

    def _problem(self, problem: errors.InvalidManifest) -> None:
        self.events.record("ManifestInvalid", str(problem), warning=True)
        self._output.line(f"  {problem}; what was there before stays in force")

    def _mended(self, file: str) -> None:
        self.events.record("ManifestMended", f"{file} is in force again")
        self._output.line(f"  {file} is in force again")


async def _quiet(store: DirectoryStore, routings: Routings, here: Collection[str]) -> None:
    """Returns when the agents that run here answer, every channel has been looked at, the store has
    not changed for a moment, and the routing tables follow it.
    """
    seen, still = "", 0
    while still < 6:
        await asyncio.sleep(0.05)
        agents, now = await store.list(Agent)
        channels, _ = await store.list(Channel)
        told = all(a.status.is_true("Ready") for a in agents if a.name in here) and all(
            channel.status.conditions for channel in channels
        )
        still = still + 1 if told and now == seen and not routings.pending else 0
        seen = now
