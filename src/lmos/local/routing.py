"""Which router the platform uses, and what it tells of it."""

from dataclasses import dataclass

from lmos.model import Embedder
from lmos.router import DEFAULT, Router, open_router


@dataclass(frozen=True, slots=True)
class Routing:
    """A router by its name and the spec of the language model that it may ask."""

    router: str = DEFAULT
    model: str = "auto"

    def open(self, embedder: Embedder) -> Router:
        """The router. `InvalidInput` when there is none of that name, or it needs a model."""
        return open_router(self.router, embedder, self.model)


def words_of(router: Router) -> str:
    """The router, and which language model it asks and when."""
    if router.name == "cascade":
        asked = f"asks {router.model} when it is not sure" if router.model else "by vectors alone"
        return f"cascade ({asked})"
    return f"{router.name} (asks {router.model})" if router.model else router.name
