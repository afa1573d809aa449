"""The vector router with one ingredient left out."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from lmos.router import spelling
from lmos.router.fit import Fit
from lmos.router.scoring import learned

#: What is left out; "nothing" is the router as it is.
INGREDIENTS = ("nothing", "head", "letters", "neighbours", "usual", "spelling")

#: The constants that leave it out, in each module that has them.
_CONSTANTS: dict[str, list[tuple[Any, str, Any]]] = {
    "head": [(learned, "LARGEST", 0)],
    "letters": [(learned, "LEXICAL", 0.0)],
    "neighbours": [(learned, "NEIGHBOURS", (0.0,))],
    "spelling": [(spelling, "SHORTEST", spelling.LONGEST + 1)],
}


@contextmanager
def without(name: str) -> Iterator[Fit]:
    """The fit to use while the ingredient is left out."""
    fit = Fit()
    with ExitStack() as left_out:
        for module, constant, value in _CONSTANTS.get(name, ()):
            left_out.enter_context(patch.object(module, constant, value))
        # without "usual", whether anybody is meant is told as of tables without a head
        yield fit.but(learned=fit.bare) if name == "usual" else fit
