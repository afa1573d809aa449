"""Embedding models behind an OpenAI-compatible endpoint, Ollama's included."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lmos.llm.cache import VectorCache
from lmos.llm.models import OLLAMA
from lmos.model import errors

if TYPE_CHECKING:
    import aiohttp
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

MAX_BATCH = 256
TIMEOUT = 60.0


class RemoteEmbedder:
    """An `Embedder` that asks `{base}/embeddings`, for each text once while it is remembered. `d`
    is known after the first answer.
    """

    def __init__(self, model: str, base: str, key: str | None = None) -> None:
        self.name = f"{model}@{base}"
        self.d = 0
        self._model = model
        self._url = base.rstrip("/") + "/embeddings"
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._cache = VectorCache()

    async def embed(self, texts: Sequence[str]) -> "Vectors":
        """float32[n, d], rows of unit length, in the order of the texts. `ModelFailed` when the
        endpoint does not answer, or not with a vector for each text.
        """
        import numpy as np

        found = self._cache.get(texts)
        if missing := [text for text in dict.fromkeys(texts) if text not in found]:
            fresh = dict(zip(missing, await self._fetch(missing), strict=True))
            self._cache.put(fresh)
            found |= fresh
        return np.stack([found[t] for t in texts]) if texts else np.zeros((0, self.d), np.float32)

    async def _fetch(self, texts: list[str]) -> "Vectors":
        import aiohttp
        import numpy as np

        rows: list[list[float]] = []
        try:
            timeout = aiohttp.ClientTimeout(total=TIMEOUT)
            async with aiohttp.ClientSession(headers=self._headers, timeout=timeout) as session:
                for start in range(0, len(texts), MAX_BATCH):
                    rows += await self._ask(session, texts[start : start + MAX_BATCH])
            vectors = np.array(rows, np.float32).reshape(len(texts), self.d or -1)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise errors.ModelFailed(f"{self._url} did not answer: {error!r}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise errors.ModelFailed(f"{self._url} gave no vectors of {self._model}") from error
        self.d = vectors.shape[1]
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors

    async def _ask(self, session: "aiohttp.ClientSession", texts: list[str]) -> list[list[float]]:
        body = {"model": self._model, "input": texts}
        async with session.post(self._url, json=body) as response:
            if response.status != 200:
                raise errors.ModelFailed(
                    f"{self._url} answered {response.status} for {self._model}"
                )
            data = (await response.json())["data"]
        return [row["embedding"] for row in sorted(data, key=lambda row: row["index"])]


def openai_embedder(model: str, base: str | None) -> RemoteEmbedder:
    """An embedding model of OpenAI or of whatever is compatible at `base`."""
    key = os.environ.get("OPENAI_API_KEY")
    return RemoteEmbedder(model, base or "https://api.openai.com/v1", key)


def ollama_embedder(model: str, base: str | None) -> RemoteEmbedder:
    """An embedding model of an Ollama server, by default the one on this machine."""
    return RemoteEmbedder(model, (base or OLLAMA).rstrip("/") + "/v1")
