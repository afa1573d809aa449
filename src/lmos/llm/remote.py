"""Embedding models elsewhere: behind an OpenAI-compatible endpoint, an Ollama server, or whatever
provider pydantic-ai knows.
"""

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lmos.llm.cache import VectorCache
from lmos.llm.models import OLLAMA
from lmos.model import errors

if TYPE_CHECKING:
    import aiohttp
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

#: Texts of one request; fewer than the least that a provider is known to take (Cohere: 96).
MAX_BATCH = 96
#: Seconds that a request may take, and that the first pause before another try lasts.
TIMEOUT, PAUSE = 60.0, 0.25
#: How often something is asked before it has failed, and the longest pause that a server may want.
TRIES, LONGEST = 3, 10.0
#: Statuses that another try may change.
PASSING = frozenset((408, 429, 500, 502, 503, 504))


class Remote(ABC):
    """An `Embedder` that asks elsewhere, for each text once while it is remembered. `d` is known
    after the first answer, and those after it must have as many dimensions.
    """

    def __init__(self, name: str, model: str, where: str) -> None:
        self.name = name
        self.d = 0
        self._model = model
        self._where = where
        self._cache = VectorCache()

    @abstractmethod
    async def _ask(self, texts: list[str]) -> Any:
        """The vectors of at most MAX_BATCH texts, a sequence of floats each. Whatever is wrong is
        a `ModelFailed`, or a ValueError, KeyError or TypeError where the answer has another shape.
        """

    async def embed(self, texts: Sequence[str]) -> "Vectors":
        """float32[n, d], rows of unit length, in the order of the texts. `ModelFailed` when the
        endpoint does not answer, or not with a vector of the same dimensions for each text.
        """
        import numpy as np

        found = self._cache.get(texts)
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        for part in (missing[i : i + MAX_BATCH] for i in range(0, len(missing), MAX_BATCH)):
            fresh = dict(zip(part, await self._fetch(part), strict=True))
            self._cache.put(fresh)
            found |= fresh
        return np.stack([found[t] for t in texts]) if texts else np.zeros((0, self.d), np.float32)

    async def _fetch(self, texts: list[str]) -> "Vectors":
        import numpy as np

        try:
            rows = np.array(await self._ask(texts), np.float32)
            if rows.ndim != 2 or len(rows) != len(texts) or not np.isfinite(rows).all():
                raise ValueError(f"{rows.shape} for {len(texts)} texts")
            lengths = np.linalg.norm(rows, axis=1, keepdims=True)
            if not lengths.all():
                raise ValueError("a vector without a direction")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise errors.ModelFailed(f"{self._where} gave no vectors of {self._model}") from error
        if self.d not in (0, rows.shape[1]):
            raise errors.ModelFailed(
                f"{self._where} gave vectors of {rows.shape[1]} dimensions for {self._model}, "
                f"and of {self.d} before; has the model been replaced?"
            )
        self.d = rows.shape[1]
        vectors: Vectors = rows / lengths
        return vectors


class HttpEmbedder(Remote):
    """A `Remote` that posts JSON to an address. What fails in passing is tried again."""

    def __init__(self, model: str, base: str, path: str, key: str | None = None) -> None:
        url = base.rstrip("/") + path
        super().__init__(f"{model}@{base}", model, url)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._pause = PAUSE

    @abstractmethod
    def _read(self, answer: Any) -> Any:
        """The vectors in an answer."""

    async def _ask(self, texts: list[str]) -> Any:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        async with aiohttp.ClientSession(headers=self._headers, timeout=timeout) as session:
            for left in reversed(range(TRIES)):
                try:
                    answer, pause = await self._post(session, texts, left)
                except (aiohttp.ClientError, TimeoutError) as error:
                    if not left:
                        raise errors.ModelFailed(
                            f"{self._where} did not answer: {error!r}"
                        ) from error
                    answer, pause = None, 0.0
                if answer is not None:
                    return self._read(answer)
                await asyncio.sleep(pause or self._pause * 2 ** (TRIES - left - 1))
        raise AssertionError("unreachable")

    async def _post(
        self, session: "aiohttp.ClientSession", texts: list[str], left: int
    ) -> tuple[Any, float]:
        """The answer, or None and the seconds that the server wants us to wait, 0 if it does not
        say.
        """
        body = {"model": self._model, "input": texts}
        async with session.post(self._where, json=body) as response:
            if response.status == 200:
                return await response.json(content_type=None), 0.0
            if response.status in PASSING and left:
                return None, _seconds(response.headers.get("Retry-After", ""))
            said = (await response.text())[:200].strip()
            raise errors.ModelFailed(
                f"{self._where} answered {response.status} for {self._model}"
                + (f": {said}" if said else "")
            )


class OpenAIEmbedder(HttpEmbedder):
    """A model behind `{base}/embeddings`."""

    def _read(self, answer: Any) -> Any:
        rows = sorted(answer["data"], key=lambda row: row["index"])
        return [row["embedding"] for row in rows]


class OllamaEmbedder(HttpEmbedder):
    """A model behind an Ollama server's `/api/embed`. Texts that are too long are cut there."""

    def _read(self, answer: Any) -> Any:
        return answer["embeddings"]


class ProviderEmbedder(Remote):
    """A model of a provider that pydantic-ai knows, by `provider:model`; its keys are where that
    provider's own client looks for them.
    """

    def __init__(self, spec: str) -> None:
        super().__init__(spec, spec.partition(":")[2], spec.partition(":")[0])
        self._asked = _provided(spec)

    async def _ask(self, texts: list[str]) -> Any:
        from pydantic_ai.exceptions import AgentRunError, UserError

        try:
            async with asyncio.timeout(TIMEOUT):
                # all as documents: what agents say and what users write is of one kind, and both
                # are held against each other
                return (await self._asked.embed(texts, input_type="document")).embeddings
        except (AgentRunError, UserError, TimeoutError, OSError) as error:
            raise errors.ModelFailed(f"{self.name} did not answer: {error!r}") from error


def _provided(spec: str) -> Any:
    try:
        from pydantic_ai.embeddings import infer_embedding_model
        from pydantic_ai.exceptions import UserError
    except ImportError:
        raise errors.MissingExtra("models", f"the model {spec}") from None
    try:
        return infer_embedding_model(spec)
    except ImportError as error:
        raise errors.MissingExtra("models", f"the model {spec} ({error})") from error
    except (UserError, ValueError) as error:
        raise errors.InvalidInput(f"the model {spec} cannot be used: {error}") from None


def _seconds(wanted: str) -> float:
    return min(float(wanted), LONGEST) if wanted.isdigit() else 0.0


def openai_embedder(model: str, base: str | None) -> Remote:
    """An embedding model of OpenAI or of whatever is compatible at `base`."""
    key = os.environ.get("OPENAI_API_KEY")
    return OpenAIEmbedder(model, base or "https://api.openai.com/v1", "/embeddings", key)


def ollama_embedder(model: str, base: str | None) -> Remote:
    """An embedding model of an Ollama server, by default the one on this machine."""
    return OllamaEmbedder(model, base or OLLAMA, "/api/embed")
