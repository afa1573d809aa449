"""The chat of the page: one conversation a visit, answers as they come."""

import asyncio
import uuid
from contextlib import aclosing
from html import escape

from nicegui import ui

from lmos.console import markup
from lmos.console.live import Live
from lmos.model import (
    Answer,
    Decided,
    Failed,
    InputRequired,
    Message,
    Responder,
    Started,
    StatusUpdate,
    TextDelta,
    ToolCall,
    Turn,
    TurnEvent,
)


class Chat:
    """The conversation with a channel. Leaving the page ends a running turn."""

    def __init__(self, live: Live, responder: Responder) -> None:
        self._live = live
        self._responder = responder
        self._conversation = uuid.uuid4().hex[:12]
        self._turn: asyncio.Task[object] | None = None
        self._known: list[str] = []

    def build(self) -> None:
        """Puts the chat into the page."""
        with ui.element("section").classes("lm-card lm-chat").props('aria-label="Chat"'):
            with ui.element("div").classes("lm-bar"):
                self._channel = ui.select([], label="Channel").props(
                    'dense outlined options-dense aria-label="Channel"'
                )
                self._channel.on_value_change(self._start_over)
                ui.space()
                ui.button("New conversation", on_click=self._start_over).props("flat no-caps dense")
            self._talk = ui.element("div").classes("lm-talk").props('role="log" aria-live="polite"')
            with ui.element("form").classes("lm-say").on("submit.prevent", self._send):
                self._input = ui.input(placeholder="Ask something, then press Enter").props(
                    'outlined dense autofocus autocomplete=off aria-label="Message"'
                )
                ui.button("Send").props("type=submit no-caps unelevated").classes("lm-send")
        ui.context.client.on_disconnect(self._leave)
        self.refresh()
        self._start_over()

    def refresh(self) -> None:
        """Offers the channels there are now."""
        names = self._live.channel_names()
        if names == self._known:
            return
        self._known = names
        value = self._channel.value if self._channel.value in names else next(iter(names), None)
        self._channel.set_options(names, value=value)

    def _start_over(self) -> None:
        self._leave()
        self._conversation = uuid.uuid4().hex[:12]
        self._talk.clear()
        with self._talk:
            where = self._channel.value
            text = (
                f"Ask {where} anything. The agent that answers is named, and “why” shows how it "
                "was chosen."
                if where
                else "No channel is resolved yet. Add a Channel manifest, or look at Channels."
            )
            self._empty = ui.label(text).classes("lm-empty")

    def _leave(self) -> None:
        if self._turn and not self._turn.done():
            self._turn.cancel()

    async def _send(self) -> None:
        text = str(self._input.value or "").strip()
        if not text or not self._channel.value or (self._turn and not self._turn.done()):
            return
        self._input.set_value("")
        self._input.run_method("focus")
        self._empty.set_visibility(False)
        with self._talk:
            ui.label(text).classes("lm-user")
            block = _Block()
        self._turn = asyncio.ensure_future(self._answer(text, block))
        await asyncio.gather(self._turn, return_exceptions=True)

    async def _answer(self, text: str, block: "_Block") -> None:
        tenant, _, channel = str(self._channel.value).partition("/")
        turn = Turn(
            tenant=tenant,
            channel=channel,
            conversation_id=self._conversation,
            turn_id=uuid.uuid4().hex[:12],
            messages=(Message(role="user", content=text),),
        )
        try:
            async with aclosing(self._responder(turn)) as events:
                async for event in events:
                    block.take(event)
                    self._talk.run_method("scrollTo", 0, 1_000_000)
        except Exception as error:
            block.take(Failed.of(error))


class _Block:
    """One answer: who gives it, its text, and why."""

    def __init__(self) -> None:
        with ui.element("div").classes("lm-answer"):
            self._who = ui.html("…", sanitize=False).classes("lm-who")
            self._text = ui.label("").classes("lm-text").props('data-role="answer"')
            self._why = ui.html("", sanitize=False)
        self._agent = self._sure = ""
        self._streamed = ""

    def take(self, event: TurnEvent) -> None:
        """Shows what the event tells."""
        match event:
            case Started():
                self._agent = event.agent
                self._name(event.agent, event.version)
            case Decided():
                decision = event.decision
                self._sure = f"{decision.confidence:.2f}" if decision.agent else "no agent asked"
                self._name(self._agent, self._sure)
                self._why.set_content(markup.decision(decision))
            case StatusUpdate() | ToolCall():
                doing = event.text if isinstance(event, StatusUpdate) else f"calls {event.name}"
                self._name(self._agent, doing)
            case TextDelta():
                self._streamed += event.text
                self._text.set_text(self._streamed)
            case Answer() | InputRequired():
                self._streamed = event.message.content
                self._text.set_text(self._streamed)
                note = [self._sure, event.context.get("useCase", "")]
                self._name(self._agent, " · ".join(filter(None, note)))
            case Failed():
                self._text.classes("lm-error")
                self._text.set_text(event.error.message)

    def _name(self, agent: str, note: str) -> None:
        self._who.set_content(f"<b>{escape(agent)}</b><span>{escape(note)}</span>")
