"""What `lmos up` prints: agents' lines with their name in front, and a line of progress that is
replaced while things load.
"""

import shutil
import sys
from typing import TextIO

_COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)


class Output:
    """Writes to a stream, in colour where it is a terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._tty = self._stream.isatty()
        self._progress = ""
        self._colours: dict[str, int] = {}

    @property
    def width(self) -> int:
        """Columns to write in."""
        return min(shutil.get_terminal_size((110, 24)).columns, 140)

    def line(self, text: str = "") -> None:
        """A line of its own; a line of progress stays below it."""
        self._clear()
        self._stream.write(text + "\n")
        self._draw()
        self._stream.flush()

    def agent(self, name: str, text: str) -> None:
        """A line that the agent `name` printed."""
        self.line(f"{self._paint(name)} | {text}")

    def progress(self, text: str) -> None:
        """Replaces the line of progress, `""` removes it. Without a terminal each text is printed
        once, on a line of its own.
        """
        if text == self._progress:
            return
        self._clear()
        self._progress = text
        if self._tty:
            self._draw()
        elif text:
            self._stream.write(f"  {text}\n")
        self._stream.flush()

    def _clear(self) -> None:
        if self._tty and self._progress:
            self._stream.write("\r\x1b[K")

    def _draw(self) -> None:
        if self._tty and self._progress:
            self._stream.write(f"  {self._progress}"[: self.width])

    def _paint(self, name: str) -> str:
        if not self._tty:
            return name
        colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
        return f"\x1b[{colour}m{name}\x1b[0m"
