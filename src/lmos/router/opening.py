"""Routers by name."""

from lmos.model import Embedder, errors
from lmos.router.cascade import CascadeRouter
from lmos.router.fit import Fit
from lmos.router.hybrid import HybridRouter
from lmos.router.llm import LlmRouter
from lmos.router.request import Router
from lmos.router.vector import VectorRouter

#: The router that is used where none is named.
DEFAULT = "cascade"
NAMES = ("cascade", "vector", "llm", "hybrid")
#: Seconds that a model may take where the vectors' decision can stand without it, and where not.
QUICK, LONG = 5.0, 10.0


def open_router(
    name: str,
    embedder: Embedder,
    model: str = "auto",
    *,
    fit: Fit | None = None,
    timeout: float | None = None,
) -> Router:
    """The router of that name. `llm` and `hybrid` ask the model of that spec, `cascade` too where
    vectors are not sure and the spec means one; `timeout` is how many seconds it may take. `fit`
    are the fitted numbers, where not those of the package.
    `InvalidInput` tells the names that there are, or that a model is needed.
    """
    match name:
        case "cascade":
            return CascadeRouter(embedder, model, fit=fit, timeout=timeout or QUICK)
        case "vector":
            return VectorRouter(embedder, fit)
        case "llm":
            return LlmRouter(model, embedder, fit=fit, timeout=timeout or LONG)
        case "hybrid":
            return HybridRouter(model, embedder, fit=fit, timeout=timeout or LONG)
    raise errors.InvalidInput(f"there is no router {name!r}; there are {', '.join(NAMES)}")
