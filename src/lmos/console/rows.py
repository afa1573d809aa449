"""Lists that change only where their content does."""

from collections import deque
from collections.abc import Iterable

from nicegui import ui


class Rows:
    """Rows by key, each opened on a click; those that stay the same are left alone."""

    def __init__(self, empty: str) -> None:
        self._root = ui.element("div").classes("lm-list")
        self._rows: dict[str, tuple[str, ui.html]] = {}
        with self._root:
            self._empty = ui.label(empty).classes("lm-empty")

    def show(self, rows: dict[str, str]) -> None:
        """Makes the list show these rows, in this order."""
        for key in self._rows.keys() - rows.keys():
            self._rows.pop(key)[1].delete()
        for place, (key, content) in enumerate(rows.items(), start=1):
            shown = self._rows.get(key)
            if shown is None:
                with self._root:
                    row = ui.html(content, sanitize=False, tag="details").classes("lm-row")
                row.move(target_index=place)
                self._rows[key] = (content, row)
            elif shown[0] != content:
                shown[1].set_content(content)
                self._rows[key] = (content, shown[1])
        self._empty.set_visibility(not rows)


class Log:
    """The newest lines on top, no more than `kept`."""

    def __init__(self, empty: str, kept: int) -> None:
        self._root = ui.element("div").classes("lm-list").props('role="log" aria-label="Events"')
        self._rows: deque[ui.html] = deque()
        self._kept = kept
        with self._root:
            self._empty = ui.label(empty).classes("lm-empty")

    def add(self, lines: Iterable[str]) -> None:
        """Puts the lines on top, one after the other."""
        for line in lines:
            with self._root:
                row = ui.html(line, sanitize=False).classes("lm-row")
            row.move(target_index=0)
            self._rows.append(row)
        while len(self._rows) > self._kept:
            self._rows.popleft().delete()
        self._empty.set_visibility(not self._rows)
