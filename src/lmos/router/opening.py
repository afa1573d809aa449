"""Routers by name."""

from lmos.model import Embedder, errors
from lmos.router.request import Router
from lmos.router.vector import VectorRouter

#: The router that is used where none is named.
DEFAULT = "vector"
NAMES = ("vector",)


def open_router(name: str, embedder: Embedder) -> Router:
    """The router of that name. `InvalidInput` tells the names that there are."""
    if name == "vector":
        return VectorRouter(embedder)
    raise errors.InvalidInput(f"there is no router {name!r}; there are {', '.join(NAMES)}")
