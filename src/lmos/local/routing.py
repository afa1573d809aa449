"""Which router the platform uses, and what it tells of it."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from lmos import llm
from lmos.model import Embedder, errors
from lmos.router import DEFAULT, Fit, Router, open_router
from lmos.router.index import Indexes, open_indexes

#: The router's fitted numbers in a project.
FIT = "router.json"


@dataclass(frozen=True, slots=True)
class Routing:
    """A router by its name, the spec of the language model that it may ask, and the file of its
    fitted numbers if not the project's.
    """

    router: str = DEFAULT
    model: str = "auto"
    fit: Path | None = None

    def open(self, embedder: Embedder, project: Path, name: str = "") -> Router:
        """The router for a project's directory, or another one by its name that may ask the same
        model by the same numbers. `InvalidInput` when there is none of that name, it
        needs a model, or the fitted numbers cannot be read.
        """
        path = self.fit or project / FIT
        fit = Fit.read(path) if self.fit or path.is_file() else None
        return open_router(name or self.router, embedder, self.model, fit=fit)


def embedding() -> Embedder:
    """The model that messages and tables are embedded with, by `LMOS_EMBEDDER`."""
    return llm.embedder(os.environ.get("LMOS_EMBEDDER") or "minilm")


async def warm_up() -> None:
    """Loads the model that tables of kept vectors did not need, before the first user waits for it.

    Where that fails, each turn says so.
    """
    with contextlib.suppress(errors.LmosError):
        await embedding().embed(["hello"])


def indexes() -> Indexes:
    """Where large tables are looked up, by `LMOS_INDEX`."""
    return open_indexes(os.environ.get("LMOS_INDEX", ""))


def words_of(router: Router) -> str:
    """The router, and which language model it asks and when."""
    if router.name == "cascade":
        asked = f"asks {router.model} when it is not sure" if router.model else "by vectors alone"
        return f"cascade ({asked})"
    return f"{router.name} (asks {router.model})" if router.model else router.name
