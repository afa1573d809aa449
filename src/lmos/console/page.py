"""The page: chat on one side; agents, channels and events on the other."""

from html import escape

from nicegui import ui

from lmos.console import markup
from lmos.console.chat import Chat
from lmos.console.live import Live
from lmos.console.style import CSS
from lmos.controlplane import EventLog
from lmos.model import Responder

#: Seconds between looks for something new.
EVERY = 0.5
EVENTS_SHOWN = 100


class Rows:
    """A list whose rows are made anew only where their content changed."""

    def __init__(self, empty: str) -> None:
        self._root = ui.element("div").classes("lm-list")
        self._rows: dict[str, tuple[str, ui.html]] = {}
        with self._root:
            self._empty = ui.label(empty).classes("lm-empty")

    def show(self, rows: dict[str, str]) -> None:
        """Makes the list show these rows, by name."""
        for name in self._rows.keys() - rows.keys():
            self._rows.pop(name)[1].delete()
        for name, content in rows.items():
            before = self._rows.get(name)
            if before is None:
                with self._root:
                    row = ui.html(content, sanitize=False, tag="details").classes("lm-row")
                self._rows[name] = (content, row)
            elif before[0] != content:
                before[1].set_content(content)
                self._rows[name] = (content, before[1])
        self._empty.set_visibility(not rows)


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
                ui.html(f"<h1>{escape(self._title)}</h1>", sanitize=False)
                ui.html("Language Model Operating System", sanitize=False, tag="span")
            self._chat.build()
            self._side()
        self._refresh()
        ui.timer(EVERY, self._refresh)

    def _side(self) -> None:
        with ui.element("section").classes("lm-card lm-side").props('aria-label="Platform"'):
            with ui.tabs().props("dense no-caps align=left") as tabs:
                agents = ui.tab("Agents", icon=None)
                channels = ui.tab("Channels", icon=None)
                events = ui.tab("Events", icon=None)
            with ui.tab_panels(tabs, value=agents, animated=False, keep_alive=True):
                with ui.tab_panel(agents):
                    self._agents = Rows("No agents yet. Start one with: lmos new agent NAME")
                with ui.tab_panel(channels):
                    self._channels = Rows("No channels yet. A Channel manifest (*.yaml) makes one.")
                with ui.tab_panel(events):
                    self._log = ui.element("div").classes("lm-list").props('role="log"')

    def _refresh(self) -> None:
        if self._shown != self._live.version:
            self._shown = self._live.version
            self._chat.refresh()
            live = self._live
            self._agents.show(
                {a.name: markup.agent(a, live.channels_of(a.name)) for a in live.agents}
            )
            self._channels.show({c.name: markup.channel(c) for c in live.channels})
        for event in self._events.recent(EVENTS_SHOWN):
            if event.number > self._last_event:
                self._last_event = event.number
                with self._log:
                    row = ui.html(markup.event(event), sanitize=False).classes("lm-row")
                    row.move(target_index=0)
