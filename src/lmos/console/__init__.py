"""The page of a running platform: chat with a channel, agents, channels, and what happens.

`mount` puts it into the platform's application. It reads everything through the seams `Store` and
`Responder` and the event log, and asks nothing of the network: the browser loads all of it from
the platform itself. NiceGUI takes more than a second to import, so that happens in `mount`.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from lmos.model import Responder, Store, errors

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from lmos.controlplane import EventLog

__all__ = ["mount"]


def mount(
    app: "Starlette",
    *,
    store: Store,
    responder: Responder,
    events: "EventLog",
    title: str = "LMOS",
) -> None:
    """Serves the page at `/` of the application, behind all routes it has already. Its life is
    tied to the application's. `MissingExtra` when NiceGUI is not installed. Once a process:
    NiceGUI keeps its pages in the process.
    """
    try:
        from fastapi import FastAPI
        from nicegui import ui
    except ImportError:
        raise errors.MissingExtra("console", "the page") from None
    from lmos.console.live import Live
    from lmos.console.page import Page
    from lmos.console.place import PageMount
    from lmos.console.style import ICON

    live = Live(store)

    @ui.page("/", title=f"{title} · LMOS", dark=None)
    def index() -> None:
        Page(live, responder, events, title).build()

    inner = FastAPI(openapi_url=None)
    ui.run_with(
        inner,
        title="LMOS",
        favicon=ICON,
        dark=None,
        language="en-US",
        tailwind=False,
        binding_refresh_interval=None,  # the page binds nothing, so nothing need be compared
        show_welcome_message=False,
    )
    outer = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(host: "Starlette") -> AsyncGenerator[object, None]:
        async with outer(host) as state, inner.router.lifespan_context(inner), live:
            yield state

    app.router.lifespan_context = lifespan  # type: ignore[assignment]
    app.router.routes.append(PageMount(inner))
