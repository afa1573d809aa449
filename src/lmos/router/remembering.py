"""Decisions on messages that come again.

Users say the same things: hello, thanks, yes, "where is my order?". What the vector router makes of
a message depends on its words, on what was said before, on who answered last and on the table, so
that for the same of all these it need not be worked out twice. The oldest use goes first.
"""

from collections import OrderedDict
from collections.abc import Hashable

from lmos.model import Decision

#: Decisions kept, and characters of the texts behind one: some 5 MB at most.
KEPT, LENGTH = 1_000, 500


class Remembered:
    """The last decisions, by what they depend on."""

    def __init__(self, size: int = KEPT) -> None:
        self._size = size
        self._decisions: OrderedDict[Hashable, Decision] = OrderedDict()

    def get(self, key: Hashable) -> Decision | None:
        """The decision, None where it is not kept."""
        found = self._decisions.get(key)
        if found is not None:
            self._decisions.move_to_end(key)
        return found

    def put(self, key: Hashable, decision: Decision) -> None:
        """Keeps the decision, and no longer the one that was not asked for longest."""
        self._decisions[key] = decision
        if len(self._decisions) > self._size:
            self._decisions.popitem(last=False)
