"""The page: chat on one side; agents, channels and events on the other."""

from html import escape

from nicegui import ui

from lmos.console import markup
from lmos.console.chat import Chat
from lmos.console.live import Live
from lmos.console.rows import Log, Rows
from lmos.console.style import CSS
from lmos.controlplane import EventLog
from lmos.model import Responder

#: Seconds between looks for something new.
EVERY = 0.5
EVENTS_SHOWN = 100


class Page:
    """One visit of the page."""

    def __init__(self, live: Live, responder: Responder, events: EventLog, title: str) -> None:
        self._live = live
        self._events = events
        self._title = title
        self._chat = Chat(live, responder)
        self._shown = -1
        self._last_event = 0

    def build(self) -> None:
        """Puts everything into the page and keeps it up to date."""
        ui.add_css(CSS)
        with ui.element("main").classes("lm-page"):
            with ui.element("header").classes("lm-head"):
                ui.html(escape(self._title), sanitize=False, tag="h1")
                self._state = ui.html("", sanitize=False).classes("lm-state").props("role=status")
            self._chat.build()
            self._side()
        self._refresh()
        ui.timer(EVERY, self._refresh)

    def _side(self) -> None:
        with ui.element("section").classes("lm-card lm-side").props('aria-label="Platform"'):
            with ui.tabs().props("dense no-caps align=left") as tabs:
                agents, channels, events = map(ui.tab, ("Agents", "Channels", "Events"))
            with ui.tab_panels(tabs, value=agents, animated=False, keep_alive=True):
                with ui.tab_panel(agents):
                    self._agents = Rows("No agents yet. Start one with: lmos new agent NAME")
                with ui.tab_panel(channels):
                    self._channels = Rows("No channels yet. A Channel manifest (*.yaml) makes one.")
                with ui.tab_panel(events):
                    self._log = Log("Nothing has happened yet.", EVENTS_SHOWN)

    def _refresh(self) -> None:
        live = self._live
        if self._shown != live.version:
            self._shown = live.version
            self._chat.refresh()
            self._state.set_content(markup.summary(live.agents, live.channels))
            self._agents.show(
                {str(a.key): markup.agent(a, live.channels_of(a.name)) for a in live.agents}
            )
            self._channels.show(
                {str(c.key): markup.channel(c, live.routing_of(c)) for c in live.channels}
            )
        new = [e for e in self._events.recent(EVENTS_SHOWN) if e.number > self._last_event]
        if new:
            self._last_event = new[-1].number
            self._log.add(map(markup.event, new))
