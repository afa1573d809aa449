"""Putting typing errors right, towards the words that a channel's agents use.

A word that is neither in the agents' texts nor in the vocabulary of the embedded model is read as
the nearest word of the agents' texts, where one is one error away (two in long words). Without that
a message with an error in every other word loses its meaning as a vector.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lmos.llm.vocabulary import words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Letters of a word that is corrected, at least and at most; from LONG on it may have two errors.
SHORTEST, LONG, LONGEST = 4, 8, 30
#: Words of a message that are looked at. Models read no more of it.
MAX_WORDS = 256

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_APOSTROPHES = re.compile(r"['’]")


class Spelling:
    """Corrects towards the words of some texts."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        import numpy as np

        self._counts: Counter[str] = Counter()
        self._targets: list[str] = []
        self._letters = np.zeros((0, 32), np.int16)
        if texts:
            changing = self.changing()
            changing.come(texts)
            done = changing.done()
            self._counts, self._targets = done._counts, done._targets
            self._letters = done._letters

    def changing(self) -> "Changing":
        """What makes a spelling for other texts out of this one, which stays as it is."""
        return Changing(self._counts, self._targets, self._letters)

    def corrected(self, text: str) -> str:
        """The text with the words that nobody knows read as the nearest ones of the texts."""
        return _WORD.sub(lambda found: self._read(found.group()), text, count=MAX_WORDS)

    def _read(self, word: str) -> str:
        plain = _plain(word)
        if not SHORTEST <= len(plain) <= LONGEST or self._knows(plain):
            return word
        return self._nearest(plain) or word

    def _knows(self, word: str) -> bool:
        singular = word.removesuffix("s")
        return any(form in self._counts or form in words() for form in (word, singular))

    def _nearest(self, word: str) -> str | None:
        """The nearest target, the most frequent of those equally near; None when all are far."""
        import numpy as np

        allowed = 2 if len(word) >= LONG else 1
        differing = np.abs(self._letters - _letters(word)).sum(1)  # at most two for each error
        near = [self._targets[i] for i in np.flatnonzero(differing <= 2 * allowed)]
        ranked = [(distance(word, target), -self._counts[target], target) for target in near]
        best = min(ranked, default=(LONGEST, 0, ""))
        return best[2] if best[0] <= allowed else None


class Changing:
    """Counts the words of texts that come and go."""

    def __init__(
        self, counts: Counter[str], targets: Sequence[str], letters: "NDArray[np.int16]"
    ) -> None:
        self._before = counts
        self._targets = targets
        self._letters = letters
        self._come: Counter[str] = Counter()
        self._gone: Counter[str] = Counter()

    def come(self, texts: Iterable[str]) -> None:
        """These texts are new."""
        for text in texts:
            self._come.update(_plain_words(text))

    def go(self, texts: Iterable[str]) -> None:
        """These texts are no longer there."""
        for text in texts:
            self._gone.update(_plain_words(text))

    def done(self) -> Spelling:
        """The spelling of the texts that there are now."""
        import numpy as np

        counts = self._before.copy()
        counts.update(self._come)
        for word, times in self._gone.items():
            counts[word] -= times
            if not counts[word]:
                del counts[word]
        left = [i for i, word in enumerate(self._targets) if word in counts]
        new = [
            word
            for word in self._come
            if SHORTEST <= len(word) <= LONGEST and word in counts and word not in self._before
        ]
        made = Spelling()
        made._counts = counts
        made._targets = [*(self._targets[i] for i in left), *new]
        letters = [self._letters[left], *(_letters(word)[None] for word in new)]
        made._letters = np.concatenate(letters)
        return made


def distance(one: str, other: str) -> int:
    """Letters to leave out, put in, replace, or swap with their neighbour, to get from one to the
    other.
    """
    before: list[int] = []
    above = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        row = [i]
        for j, against in enumerate(other, 1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (letter != against))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == against:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, above = above, row
    return above[-1]


def _plain_words(text: str) -> list[str]:
    if text.isascii() and "'" not in text:
        return _WORD.findall(text.lower())
    return [_plain(word) for word in _WORD.findall(text)]


def _plain(word: str) -> str:
    return _APOSTROPHES.sub("", word.lower())


def _letters(word: str) -> "NDArray[np.int16]":
    """How often each letter occurs, letters of other alphabets folded into 32 places."""
    import numpy as np

    return np.bincount([ord(letter) % 32 for letter in word], minlength=32).astype(np.int16)
