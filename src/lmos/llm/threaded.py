"""Embedding models that run in this process."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING

from lmos.llm.cache import SIZE, VectorCache

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

#: Texts embedded at a time. On one thread more of them are not faster, and others wait longer.
MAX_BATCH = 4


class ThreadedEmbedder(ABC):
    """An `Embedder` whose model is loaded when it is first used. One thread does the work, a few
    texts of each caller in turn, so that many texts of one hold up nobody. Texts embedded before
    come from a cache in memory. `d` may be 0 until the model is loaded.
    """

    def __init__(self, name: str, d: int, cache_size: int = SIZE) -> None:
        self.name = name
        self.d = d
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedder")
        self._cache = VectorCache(cache_size)
        self._lock = Lock()
        self._model: Callable[[list[str]], Vectors] | None = None

    @abstractmethod
    def _open(self) -> "Callable[[list[str]], Vectors]":
        """Loads the model: what gives float32[n, d], rows of unit length, for n texts."""

    async def embed(self, texts: Sequence[str]) -> "Vectors":
        """float32[n, d], rows of unit length, in the order of the texts. `ModelFailed` when the
        model cannot be loaded, `MissingExtra` when what it needs is not installed.
        """
        import numpy as np

        found = self._cache.get(texts)
        missing = sorted((text for text in dict.fromkeys(texts) if text not in found), key=len)
        loop = asyncio.get_running_loop()
        for start in range(0, len(missing), MAX_BATCH):
            part = missing[start : start + MAX_BATCH]
            found |= await loop.run_in_executor(self._thread, self._embed, part)
        return np.stack([found[t] for t in texts]) if texts else np.zeros((0, self.d), np.float32)

    def load(self) -> None:
        """Loads the model now, in the calling thread; otherwise the first text does."""
        self._loaded()

    def _loaded(self) -> "Callable[[list[str]], Vectors]":
        with self._lock:
            if self._model is None:
                self._model = self._open()
            return self._model

    def _embed(self, texts: list[str]) -> "dict[str, Vectors]":
        """The vectors of a few texts; another caller may have brought some of them meanwhile."""
        found = self._cache.get(texts)
        if missing := [text for text in texts if text not in found]:
            vectors = self._loaded()(missing)
            self.d = vectors.shape[1]
            fresh = dict(zip(missing, vectors, strict=True))
            self._cache.put(fresh)
            found |= fresh
        return found
