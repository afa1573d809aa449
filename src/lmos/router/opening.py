"""Routers by name."""

from lmos.model import Embedder, errors
from lmos.router.cascade import CascadeRouter
from lmos.router.hybrid import HybridRouter
from lmos.router.llm import LlmRouter
from lmos.router.request import Router
from lmos.router.vector import VectorRouter

#: The router that is used where none is named.
DEFAULT = "cascade"
NAMES = ("cascade", "vector", "llm", "hybrid")


def open_router(name: str, embedder: Embedder, model: str = "auto") -> Router:
    """The router of that name. `llm` and `hybrid` ask the model of that spec, `cascade` too where
    vectors are not sure and the spec means one. `InvalidInput` tells the names that there are, or
    that a model is needed.
    """
    match name:
        case "cascade":
            return CascadeRouter(embedder, model)
        case "vector":
            return VectorRouter(embedder)
        case "llm":
            return LlmRouter(model, embedder)
        case "hybrid":
            return HybridRouter(model, embedder)
    raise errors.InvalidInput(f"there is no router {name!r}; there are {', '.join(NAMES)}")
