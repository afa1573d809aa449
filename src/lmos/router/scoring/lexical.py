"""A text by its letters: what the vectors of meaning miss, rare words, names and typing errors.

A word is itself and its pieces of three and four letters, each hashed to two places of a vector of
fixed size, and weighs the more the fewer texts have it; two words in a row count as one more. So a
misspelt word stays near the right one, and a word of one agent only points at that agent. Nothing
is fitted but how many texts have a word, so a changed text changes little.
"""

import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Places that words and pieces are hashed to.
D = 512
#: Letters of a piece.
PIECES = (3, 4)
#: Weight of two words in a row beside a single word.
PAIR = 0.7
#: Words of a text that are looked at, and letters of a word.
MAX_WORDS, MAX_LETTERS = 256, 30
#: Words, and two in a row, whose places are kept.
KEPT = 20_000

_Places = tuple[list[int], list[float]]

_WORD = re.compile(r"\w+")


class Lexicon:
    """Knows how many of some texts have a word, and gives the vectors of texts by it."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        units = [set(_units(text)) for text in texts]
        self._counts = Counter(unit for found in units for unit in found)
        self._total = len(units)
        self._kept: dict[str, _Places] = {}

    def vector(self, text: str) -> "NDArray[np.float32]":
        """float32[D] of unit length; zeros for a text without words."""
        import numpy as np

        places: list[int] = []
        values: list[float] = []
        for unit in _units(text):
            found = self._of(unit)
            places += found[0]
            values += found[1]
        vector = np.bincount(places, values, D) if places else np.zeros(D)
        length = math.sqrt(float(vector @ vector))
        return (vector / max(length, 1e-9)).astype(np.float32)

    def vectors(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """float32[n, D], in the order of the texts."""
        import numpy as np

        return np.stack([self.vector(text) for text in texts]) if texts else np.zeros((0, D), "f4")

    def _weight(self, unit: str) -> float:
        return math.log((self._total + 1) / (self._counts[unit] + 1)) + 1

    def _of(self, unit: str) -> _Places:
        """The places of a word or of two in a row, with what is added there."""
        found = self._kept.get(unit)
        if found is None:
            two = " " in unit
            if two and unit not in self._counts:
                return [], []
            found = _hashed(unit, PAIR * self._weight(unit)) if two else self._word(unit)
            if len(self._kept) < KEPT:
                self._kept[unit] = found
        return found

    def _word(self, word: str) -> _Places:
        """Half of a word's weight (its square) is the word itself, half are its pieces."""
        weight = self._weight(word) * math.sqrt(0.5)
        places, values = _hashed(word, weight) if word in self._counts else ([], [])
        pieces = _pieces(word)
        for piece in pieces:
            more = _hashed(piece, weight / math.sqrt(len(pieces)))
            places += more[0]
            values += more[1]
        return places, values


class Growing:
    """Makes the lexicon of some texts, or one that knows their words beside those of another: of
    texts whose words that one knows, both give the same vectors.
    """

    def __init__(self, before: Lexicon | None = None) -> None:
        self._before = before
        self._known = before._counts if before else Counter[str]()
        self._new: Counter[str] = Counter()
        self._texts = 0

    def add(self, text: str) -> None:
        """Counts the words of a text."""
        self._new.update(unit for unit in set(_units(text)) if unit not in self._known)
        self._texts += 1

    def done(self) -> Lexicon:
        """The lexicon."""
        made, before = Lexicon(), self._before
        made._total = before._total if before else self._texts
        made._counts = self._known + self._new if before else self._new
        kept = dict(before._kept) if before else {}
        made._kept = {word: places for word, places in kept.items() if word not in self._new}
        return made


def _units(text: str) -> list[str]:
    """The words, and each two in a row."""
    words = [word[:MAX_LETTERS] for word in _WORD.findall(text.lower())[:MAX_WORDS]]
    return words + [f"{one} {other}" for one, other in pairwise(words)]


def _pieces(word: str) -> list[str]:
    marked = f"<{word}>"
    return [
        "#" + marked[at : at + size] for size in PIECES for at in range(len(marked) - size + 1)
    ] or ["#" + marked]


def _hashed(key: str, weight: float) -> _Places:
    """Two places of the key, each with a sign of its own."""
    written = key.encode()
    numbers = (zlib.crc32(written), zlib.crc32(written[::-1], 77))
    weight *= math.sqrt(0.5)
    return [n % D for n in numbers], [weight if n & 1 << 20 else -weight for n in numbers]
