"""Guessing what was meant by a name that is not known."""

import difflib
from collections.abc import Iterable

#: Different words that are guessed at; finding near ones takes its time.
_GUESSED = 200
#: Characters of a word that are looked at.
_LOOKED_AT = 60


class Meant:
    """The known names, and which of them is near a word."""

    def __init__(self, known: Iterable[str]) -> None:
        self.known = list(known)
        self._there = set(self.known)
        self._guesses: dict[str, str] = {}

    def __contains__(self, word: str) -> bool:
        return word in self._there

    def near(self, word: str) -> str:
        """The known name that is most like the word, empty when none is."""
        if word not in self._guesses:
            if len(self._guesses) >= _GUESSED:
                return ""
            found = difflib.get_close_matches(word[:_LOOKED_AT], self.known, 1)
            self._guesses[word] = found[0] if found else ""
        return self._guesses[word]

    def listed(self) -> str:
        """The known names, the first of them where there are many."""
        names = ", ".join(self.known[:12]) or "none"
        return f"{names}, ..." if len(self.known) > 12 else names
