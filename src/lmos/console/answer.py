"""One answer in the chat: who gives it, its text as it comes, and why it was theirs to give."""

import time
from html import escape

from nicegui import ui

from lmos.console import markup
from lmos.model import (
    Answer,
    Decided,
    Done,
    Failed,
    Handover,
    InputRequired,
    Started,
    StatusUpdate,
    TextDelta,
    ToolCall,
    TurnEvent,
)


class AnswerBlock:
    """Shows the events of a turn. What was said before an error stays."""

    def __init__(self) -> None:
        with ui.element("div").classes("lm-answer"):
            self._who = ui.html("", sanitize=False).classes("lm-who")
            self._text = ui.label("").classes("lm-text").props('data-role="answer"')
            self._problem = ui.label("").classes("lm-error").props("role=alert")
            self._why = ui.html("", sanitize=False)
        self._began = time.perf_counter()
        self._agent = self._sure = self._use_case = ""
        self._said: list[str] = []
        self._streamed = ""
        self._name("…")

    def take(self, event: TurnEvent) -> None:
        """Shows what the event tells."""
        match event:
            case Started():
                self._agent = event.agent
                self._name(event.version)
            case Decided():
                decision = event.decision
                self._sure = f"{decision.confidence:.2f}" if decision.agent else "no agent asked"
                self._name(self._sure)
                self._why.set_content(markup.decision(decision))
            case StatusUpdate():
                self._name(event.text)
            case ToolCall():
                self._name(f"calls {event.name}")
            case TextDelta():
                self._streamed += event.text
                self._show()
            case Answer():
                self._take_message(event)
            case InputRequired() | Handover() | Failed() | Done():
                self._end(event)

    def stop(self) -> None:
        """Says that the visitor wanted no more of it."""
        self._name("stopped")

    def _take_message(self, event: Answer | InputRequired) -> None:
        self._said.append(event.message.content)
        self._streamed = ""
        # After a handover the answer says whose it is; `Started` told who was asked first.
        self._agent = event.context.get("agent", self._agent)
        self._use_case = event.context.get("useCase", self._use_case)
        self._show()
        self._sum_up()

    def _end(self, event: InputRequired | Handover | Failed | Done) -> None:
        match event:
            case InputRequired():
                self._take_message(event)
                self._sum_up(f"{self._milliseconds():.0f} ms")
            case Handover():
                taker = event.to or event.capability or "another agent"
                self._problem.set_text(f"handed over to {taker}, who did not take it")
            case Failed():
                self._name(event.error.code)
                self._problem.set_text(event.error.message)
            case Done():
                self._sum_up(event.usage.model, f"{self._milliseconds():.0f} ms")

    def _milliseconds(self) -> float:
        return (time.perf_counter() - self._began) * 1000

    def _show(self) -> None:
        self._text.set_text("\n\n".join(filter(None, [*self._said, self._streamed])))

    def _sum_up(self, *more: str) -> None:
        self._name(" · ".join(filter(None, [self._sure, self._use_case, *more])))

    def _name(self, note: str) -> None:
        self._who.set_content(f"<b>{escape(self._agent)}</b><span>{escape(note)}</span>")
