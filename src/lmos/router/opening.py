"""Routers by name."""

from lmos.model import Embedder, errors
from lmos.router.llm import LlmRouter
from lmos.router.request import Router
from lmos.router.vector import VectorRouter

#: The router that is used where none is named.
DEFAULT = "vector"
NAMES = ("vector", "llm")


def open_router(name: str, embedder: Embedder, model: str = "") -> Router:
    """The router of that name; `llm` asks the model of that spec (default: auto). `InvalidInput`
    tells the names that there are.
    """
    if name == "vector":
        return VectorRouter(embedder)
    if name == "llm":
        return LlmRouter(model or "auto", embedder)
    raise errors.InvalidInput(f"there is no router {name!r}; there are {', '.join(NAMES)}")
