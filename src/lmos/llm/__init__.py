"""Models behind spec strings.

`embedder("minilm")` turns texts into vectors; `resolve_model("auto")` finds the language model to
use, or that there is none. Libraries are imported when a model is used, never before.
`ScriptedModel` stands in for a language model in tests.
"""

from functools import lru_cache

from lmos.llm.models import DIRECT, ModelChoice, resolve_model
from lmos.llm.scripted import Call, ScriptedModel
from lmos.model import Embedder, errors

__all__ = ["DIRECT", "Call", "ModelChoice", "ScriptedModel", "embedder", "resolve_model"]


@lru_cache(maxsize=8)
def embedder(spec: str = "minilm") -> Embedder:
    """The embedder that a spec means, one a process: `minilm` (embedded), `openai:MODEL[@BASE]`,
    `ollama:MODEL[@BASE]`.
    """
    kind, _, rest = spec.partition(":")
    model, _, base = rest.partition("@")
    if spec == "minilm":
        from lmos.llm.minilm import MiniLM

        return MiniLM()
    if kind in ("openai", "ollama") and model:
        from lmos.llm.remote import ollama_embedder, openai_embedder

        return (openai_embedder if kind == "openai" else ollama_embedder)(model, base or None)
    raise errors.InvalidInput(
        f"{spec!r} is no embedder; use minilm, openai:MODEL, openai:MODEL@URL or ollama:MODEL"
    )
