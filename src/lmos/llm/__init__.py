"""Models behind spec strings.

`embedder("minilm")` turns texts into vectors; `resolve_model("auto")` finds the language model to
use, or that there is none. Libraries are imported when a model is used, never before.
`ScriptedModel` stands in for a language model in tests.
"""

from functools import lru_cache

from lmos.llm.models import DIRECT, ModelChoice, addressed, resolve_model
from lmos.llm.scripted import Call, ScriptedModel
from lmos.model import Embedder, errors

__all__ = ["DIRECT", "Call", "ModelChoice", "ScriptedModel", "embedder", "resolve_model"]


@lru_cache(maxsize=8)
def embedder(spec: str = "minilm") -> Embedder:
    """The embedder that a spec means, one a process: `minilm` (embedded), `openai:MODEL` or
    `openai:MODEL@http://host:1234/v1`, `ollama:MODEL` or `ollama:MODEL@http://host:11434`.
    """
    kind, _, rest = spec.partition(":")
    model, base = addressed(rest)
    if spec == "minilm":
        from lmos.llm.minilm import MiniLM

        return MiniLM()
    if kind in ("openai", "ollama") and model:
        from lmos.llm.remote import ollama_embedder, openai_embedder

        return (openai_embedder if kind == "openai" else ollama_embedder)(model, base)
    raise errors.InvalidInput(
        f"{spec!r} is no embedder; use minilm, openai:MODEL, openai:MODEL@URL or ollama:MODEL"
    )
