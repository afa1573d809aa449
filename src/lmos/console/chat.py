"""The chat of the page: one conversation a visit, answers as they come."""

import asyncio
import contextlib
import uuid
from contextlib import aclosing

from nicegui import ui

from lmos.console.answer import AnswerBlock
from lmos.console.live import Live
from lmos.model import Failed, Message, Responder, Turn, errors
from lmos.protocols import limits
from lmos.protocols.answering import answered


class Chat:
    """The conversation with a channel. Leaving the page ends a running turn."""

    def __init__(self, live: Live, responder: Responder) -> None:
        self._live = live
        self._responder = responder
        self._conversation = ""
        self._turn: asyncio.Task[None] | None = None
        self._block: AnswerBlock | None = None
        self._known: list[str] = []

    def build(self) -> None:
        """Puts the chat into the page."""
        with ui.element("section").classes("lm-card lm-chat").props('aria-label="Chat"'):
            self._bar()
            with ui.element("div").classes("lm-scroll") as self._scroll:
                self._talk = ui.element("div").classes("lm-talk")
                self._talk.props('role="log" aria-live="polite" aria-label="Conversation"')
            self._form()
        # Not on_disconnect: a connection that is lost for a moment comes back to the same page.
        ui.context.client.on_delete(self._cancel)
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

    # --- parts ------------------------------------------------------------------------------------

    def _bar(self) -> None:
        with ui.element("div").classes("lm-bar"):
            self._channel = ui.select([], label="Channel").props(
                'dense outlined options-dense aria-label="Channel"'
            )
            self._channel.on_value_change(self._start_over)
            ui.space()
            ui.button("New conversation", on_click=self._start_over).props("flat no-caps dense")

    def _form(self) -> None:
        with ui.element("form").classes("lm-say").on("submit.prevent", self._send):
            self._input = ui.input(placeholder="Ask something").props(
                f"outlined dense autofocus autocomplete=off maxlength={limits.TEXT_LIMIT}"
                ' aria-label="Message"'
            )
            # No colour of Quasar's: its layered `!important` would win over ours.
            self._submit = ui.button("Send", color=None).classes("lm-send")
            self._submit.props("type=submit no-caps unelevated :ripple=false")
            self._halt = ui.button("Stop", on_click=self._stop).props("no-caps outline")
        self._offer_stop(False)

    def _offer_stop(self, running: bool) -> None:
        self._submit.set_visibility(not running)
        self._halt.set_visibility(running)

    # --- the conversation -------------------------------------------------------------------------

    def _start_over(self) -> None:
        self._cancel()
        self._conversation = uuid.uuid4().hex[:12]
        self._talk.clear()
        where = self._channel.value
        text = (
            f"Ask {where} anything. The agent that answers is named, and “why” shows how it was "
            "chosen."
            if where
            else "No channel is served yet. Add a Channel manifest, or see what is missing under "
            "Channels."
        )
        with self._talk:
            self._empty = ui.label(text).classes("lm-empty")

    def _cancel(self) -> None:
        if self._turn:
            self._turn.cancel()
            self._turn = None
            self._offer_stop(False)

    def _stop(self) -> None:
        if self._turn and self._block:
            self._cancel()
            self._block.stop()
        self._input.run_method("focus")

    async def _send(self) -> None:
        text = str(self._input.value or "").strip()
        if not text or not self._channel.value or self._turn:
            return
        self._input.set_value("")
        self._input.run_method("focus")
        self._empty.set_visibility(False)
        with self._talk:
            ui.label(text).classes("lm-user")
            self._block = AnswerBlock()
        self._scroll.run_method("scrollTo", 0, 0)
        self._offer_stop(True)
        turn = self._turn = asyncio.ensure_future(self._answer(self._asked(text), self._block))
        with contextlib.suppress(asyncio.CancelledError):
            await turn
        if self._turn is turn:
            self._turn = None
            self._offer_stop(False)

    def _asked(self, text: str) -> Turn:
        tenant, _, channel = str(self._channel.value).partition("/")
        return Turn(
            tenant=tenant,
            channel=channel,
            conversation_id=self._conversation,
            turn_id=uuid.uuid4().hex[:12],
            messages=(Message(role="user", content=text),),
        )

    async def _answer(self, turn: Turn, block: AnswerBlock) -> None:
        try:
            limits.check_messages(turn.messages)
        except errors.InvalidInput as error:
            block.take(Failed.of(error))
            return
        async with aclosing(answered(self._responder, turn)) as events:
            async for event in events:
                block.take(event)
