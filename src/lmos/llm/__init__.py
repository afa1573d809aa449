"""Models behind spec strings.

`embedder("minilm")` turns texts into vectors; `resolve_model("auto")` finds the language model to
use, or that there is none. Libraries are imported when a model is used, never before.
`ScriptedModel` stands in for a language model in tests.
"""

from functools import lru_cache
from pathlib import Path

from lmos.llm.models import DIRECT, ModelChoice, addressed, resolve_model
from lmos.llm.scripted import Call, ScriptedModel
from lmos.model import Embedder, errors

__all__ = ["DIRECT", "Call", "ModelChoice", "ScriptedModel", "embedder", "resolve_model"]


@lru_cache(maxsize=8)
def embedder(spec: str = "minilm") -> Embedder:
    """The embedder that a spec means, one a process:

    minilm                          the model that comes with the package
    onnx:FOLDER                     a folder with model.onnx and tokenizer.json
    fastembed:MODEL[@/FOLDER]       a model of fastembed, which fetches it unless told where it is
    openai:MODEL[@URL]              OpenAI, or what is compatible at http://host:1234/v1
    ollama:MODEL[@URL]              an Ollama server, by default the one on this machine
    PROVIDER:MODEL                  another provider of pydantic-ai: cohere, google, mistral, ...

    `InvalidInput` when it means none, `MissingExtra` when what it needs is not installed.
    """
    kind, _, rest = spec.partition(":")
    if spec == "minilm":
        from lmos.llm.minilm import MiniLM

        return MiniLM()
    if not kind or not rest:
        raise errors.InvalidInput(
            f"{spec!r} is no embedder; use minilm, openai:MODEL, openai:MODEL@URL, ollama:MODEL, "
            "fastembed:MODEL, onnx:FOLDER or provider:MODEL"
        )
    return _LOCAL[kind](rest) if kind in _LOCAL else _remote(kind, rest)


def _remote(kind: str, rest: str) -> Embedder:
    from lmos.llm import remote

    model, base = addressed(rest)
    if kind == "openai":
        return remote.openai_embedder(model, base)
    if kind == "ollama":
        return remote.ollama_embedder(model, base)
    return remote.ProviderEmbedder(f"{kind}:{rest}")


def _onnx(folder: str) -> Embedder:
    from lmos.llm.onnx import OnnxEmbedder

    return OnnxEmbedder(Path(folder).expanduser())


def _fastembed(rest: str) -> Embedder:
    from lmos.llm.fastembed import FastEmbedder

    model, at, folder = rest.partition("@/")
    return FastEmbedder(model, Path(f"/{folder}") if at else None)


_LOCAL = {"onnx": _onnx, "fastembed": _fastembed}
