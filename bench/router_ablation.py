"""The vector router with one ingredient left out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from lmos.router.fit import Fit
from lmos.router.scoring import learned

#: What is left out; "nothing" is the router as it is.
INGREDIENTS = ("nothing", "head", "letters", "neighbours", "usual", "spelling")

_CONSTANTS: dict[str, tuple[Any, str, Any]] = {
    "head": (learned, "LARGEST", 0),
    "letters": (learned, "LEXICAL", 0.0),
    "neighbours": (learned, "NEIGHBOURS", 0.0),
    "spelling": (__import__("lmos.router.spelling", fromlist=["x"]), "MAX_WORDS", 0),
}


@contextmanager
def without(name: str) -> Iterator[Fit]:
    """The fit to use while the ingredient is left out."""
    fit = Fit()
    if name == "usual":
        # whether anybody is meant is then told as of tables without a head
        yield fit.but(learned=fit.bare)
    elif name in _CONSTANTS:
        module, constant, value = _CONSTANTS[name]
        with patch.object(module, constant, value):
            yield fit
    else:
        yield fit
