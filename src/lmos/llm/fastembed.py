"""Embedding models of fastembed, which fetches them on first use or takes them from a folder."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmos.llm.threaded import ThreadedEmbedder
from lmos.model import errors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]


class FastEmbedder(ThreadedEmbedder):
    """The `Embedder` of a model that fastembed supports; `folder` has its files, where they are not
    to be fetched.
    """

    def __init__(self, model: str, folder: Path | None = None) -> None:
        if importlib.util.find_spec("fastembed") is None:
            raise errors.MissingExtra("fastembed", f"the model {model}")
        super().__init__(f"fastembed:{model}", 0)
        self._of = model
        self._folder = folder

    def _open(self) -> Any:
        import fastembed

        known = {found["model"] for found in fastembed.TextEmbedding.list_supported_models()}
        if self._of not in known:
            raise errors.InvalidInput(
                f"fastembed has no model {self._of!r}; it has {', '.join(sorted(known))}"
            )
        options: dict[str, Any] = {}
        if self._folder:
            options["specific_model_path"] = str(self._folder)
        try:
            model = fastembed.TextEmbedding(self._of, threads=1, **options)
        except Exception as error:  # it raises whatever its downloads and its runtime raise
            raise errors.ModelFailed(f"fastembed cannot load {self._of}: {error}") from error
        return lambda texts: _unit(model, texts)


def _unit(model: Any, texts: list[str]) -> "Vectors":
    import numpy as np

    found = np.array(list(model.embed(texts)), np.float32)
    vectors: Vectors = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    return vectors
