"""Vectors of texts that were embedded before."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]

#: Vectors that an embedder keeps; of 384 dimensions each takes 1.5 kB.
SIZE = 20_000


class VectorCache:
    """The vectors of the texts that were used last. Several threads may use it."""

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._vectors: OrderedDict[str, Vector] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._vectors)

    def get(self, texts: Iterable[str]) -> "dict[str, Vector]":
        """The vectors of those texts that are there."""
        with self._lock:
            found = {text: self._vectors[text] for text in texts if text in self._vectors}
            for text in found:
                self._vectors.move_to_end(text)
            return found

    def put(self, vectors: "Mapping[str, Vector]") -> None:
        """Keeps the vectors, and lets go of those used longest ago."""
        with self._lock:
            self._vectors.update(vectors)
            while len(self._vectors) > self._size:
                self._vectors.popitem(last=False)
