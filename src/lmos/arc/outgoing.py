"""What leaves an agent: the answer's text after its output filters, as early as they allow.

Without filters every piece goes out as it comes. Filters that read sentences let one go at a time;
one that must read the whole answer holds it back until the end.
"""

from collections.abc import Awaitable, Callable, Sequence
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

    async def take(self, piece: str) -> list[TextDelta]:
        """What may go out now that the piece has come."""
        if not self._filters:
            return [self._out(piece)] if piece else []
        if self._window is None:
            self._held.append(piece)
            return []
        return await self._each(self._window.feed(piece))

    async def end(self) -> list[TextDelta]:
        """What was held back, now that nothing more comes."""
        if self._window is not None:
            rest = await self._each(self._window.flush())
            self._ctx.watch.filtered()
            return rest
        held, self._held = "".join(self._held), []
        return [self._out(s) for s in sentences(await self._filtered(held))]

    async def _each(self, pieces: list[str]) -> list[TextDelta]:
        filtered = [await self._filtered(piece) for piece in pieces]
        return [self._out(text) for text in filtered if text]

    async def _filtered(self, text: str) -> str:
        for function in self._filters:
            text = await called(function, self._ctx, text, whole=self._window is None)
        return text

    def _out(self, text: str) -> TextDelta:
        self.text += text
        return TextDelta(text=text)
