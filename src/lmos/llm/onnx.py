"""Embedding models in files: a folder with `model.onnx` and `tokenizer.json`.

It is what sentence-transformers and the tools around it export. A text's vector is the mean of its
pieces' vectors; of the first piece's alone where `1_Pooling/config.json` says so. The embedded
model leaves out the marks that stand before and behind every text.
"""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lmos.llm.threaded import ThreadedEmbedder
from lmos.model import errors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

#: Pieces of a text that count, where the tokenizer sets no limit of its own.
MAX_PIECES = 512
#: What a network may be given, and what we would give it.
INPUTS = ("input_ids", "attention_mask", "token_type_ids")

#: Which pieces' vectors make that of the text: all, all but the marks around it, the first alone.
Pooling = Literal["mean", "words", "first"]


class Network:
    """A network and its tokenizer. One thread: a second one saves little time a text and takes
    twice the processor, most of it waiting for work, from whatever else runs on the machine.
    """

    def __init__(self, path: Path, tokenizer: Any, pooling: Pooling = "mean") -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # an arena keeps the memory of the largest batch
        self._network: Any = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self._inputs = [given.name for given in self._network.get_inputs()]
        self._tokenizer = tokenizer
        self._pooling = pooling
        if strange := set(self._inputs) - set(INPUTS):
            raise errors.ModelFailed(
                f"{path} wants {', '.join(sorted(strange))}; an embedding model that takes no more "
                f"than {', '.join(INPUTS)} can be used"
            )

    def embed(self, texts: list[str]) -> "Vectors":
        """float32[n, d]: vectors of unit length."""
        import numpy as np

        encoded = self._tokenizer.encode_batch(texts)
        ids = np.array([e.ids for e in encoded], np.int64)
        mask = np.array([e.attention_mask for e in encoded], np.int64)
        given = dict(zip(INPUTS, (ids, mask, np.zeros_like(ids)), strict=True))
        hidden = self._network.run(None, {name: given[name] for name in self._inputs})[0]
        pooled = self._pooled(hidden, self._counted(encoded, mask))
        lengths = np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)
        vectors: Vectors = (pooled / lengths).astype(np.float32)
        return vectors

    def _pooled(self, hidden: Any, mask: Any) -> Any:
        if hidden.ndim == 2:  # pooled already
            return hidden
        return hidden[:, 0] if self._pooling == "first" else (hidden * mask[:, :, None]).sum(1)

    def _counted(self, encoded: Any, mask: "NDArray[np.int64]") -> "NDArray[np.int64]":
        """int[n, pieces]: 1 for the pieces that make the vector; all of a text without a word."""
        import numpy as np

        if self._pooling != "words":
            return mask
        words = mask * (1 - np.array([e.special_tokens_mask for e in encoded], np.int64))
        return np.where(words.any(1, keepdims=True), words, mask)


class OnnxEmbedder(ThreadedEmbedder):
    """The `Embedder` in a folder. Its name has a hash of the model, so that vectors kept of another
    one are not taken for its.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "model.onnx"
        self._folder = folder
        missing = [f for f in ("model.onnx", "tokenizer.json") if not (folder / f).is_file()]
        if missing:
            raise errors.InvalidInput(
                f"{folder} has no {' and no '.join(missing)}; an embedding model is a folder with "
                "model.onnx and tokenizer.json"
            )
        with self._path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
        super().__init__(f"onnx:{folder.name}-{digest}", 0)

    def _open(self) -> Any:
        try:
            import onnxruntime  # noqa: F401
            import tokenizers
        except ImportError:
            raise errors.MissingExtra("embedder", f"the model in {self._folder}") from None
        try:
            tokenizer = tokenizers.Tokenizer.from_file(str(self._folder / "tokenizer.json"))
            if tokenizer.truncation is None:
                tokenizer.enable_truncation(MAX_PIECES)
            tokenizer.enable_padding(**self._padding(tokenizer))
            return Network(self._path, tokenizer, self._pooling()).embed
        except errors.LmosError:
            raise
        except Exception as error:  # of either library; both have their own bases
            raise errors.ModelFailed(f"{self._folder} cannot be loaded: {error}") from error

    def _padding(self, tokenizer: Any) -> dict[str, Any]:
        """Padding to the longest text, with the piece that the tokenizer pads with."""
        given = tokenizer.padding or {}
        known = ("direction", "pad_id", "pad_type_id", "pad_token")
        return {name: given[name] for name in known if name in given}

    def _pooling(self) -> Pooling:
        path = self._folder / "1_Pooling" / "config.json"
        told = json.loads(path.read_text()) if path.is_file() else {}
        return "first" if told.get("pooling_mode_cls_token") else "mean"
