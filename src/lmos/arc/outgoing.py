"""What leaves an agent: the answer's text after its output filters, as early as they allow.

Without filters every piece goes out as it comes. Filters that read sentences let one go at a time;
one that must read the whole answer holds it back until the end.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, Literal

from lmos.arc.context import Context
from lmos.arc.running import called
from lmos.arc.windows import SentenceWindow, sentences
from lmos.model import TextDelta

Filter = Callable[[Context, str], str | Awaitable[str | None] | None]
Window = Literal["sentence", "whole"]


def window_of(function: Any) -> Window:
    """What a filter must see at a time: `whole` unless its attribute `window` says `sentence`."""
    return "sentence" if getattr(function, "window", "whole") == "sentence" else "whole"


class Outgoing:
    """The text on its way out. `text` is what went out so far."""

    def __init__(self, ctx: Context, filters: Sequence[Filter]) -> None:
        self.text = ""
        self._ctx = ctx
        self._filters = filters
        self._held: list[str] = []
        self._window: SentenceWindow | None = None
        if filters and all(window_of(f) == "sentence" for f in filters):
            self._window = SentenceWindow()

    async def take(self, piece: str) -> AsyncGenerator[TextDelta, None]:
        """What may go out now that the piece has come."""
        if not self._filters:
            yield self._out(piece)
        elif self._window is None:
            self._held.append(piece)
        else:
            for sentence in self._window.feed(piece):
                if text := await self._filtered(sentence):
                    yield self._out(text)

    async def end(self) -> AsyncGenerator[TextDelta, None]:
        """What was held back, now that nothing more comes."""
        if self._window is not None:
            for sentence in self._window.flush():
                if text := await self._filtered(sentence):
                    yield self._out(text)
        elif self._filters:
            for sentence in sentences(await self._filtered("".join(self._held))):
                yield self._out(sentence)

    async def _filtered(self, text: str) -> str:
        for function in self._filters:
            text = await called(function, self._ctx, text)
        return text

    def _out(self, text: str) -> TextDelta:
        self.text += text
        return TextDelta(text=text)
