"""Fitted numbers of the vector router, as data that can be kept, compared and replaced.

The default is fitted on public data (`bench/router.py --only fit`), never on examples of this
project. What depends on a table's own examples, its head and how sure that may be, is learned when
the table is built and is no part of this.
"""

import hashlib
import math
from pathlib import Path
from typing import Literal, Self

from pydantic import ValidationError

from lmos.model import errors
from lmos.model.base import Strict
from lmos.router.scoring.seen import Signs


class Scope(Strict):
    """Weights of the signs that somebody is meant rather than nobody, in a logistic function."""

    near: float
    lead: float
    texts: float
    usual: float = 0.0
    doubt: float = 0.0
    known: float = 0.0
    bias: float

    def meant(self, signs: Signs) -> float:
        """The probability (0 to 1) that somebody is meant."""
        names = ("near", "lead", "texts", "usual", "doubt", "known")
        z = self.bias + sum(getattr(self, name) * getattr(signs, name) for name in names)
        return 1 / (1 + math.exp(-min(max(z, -50.0), 50.0)))


class Fit(Strict):
    """`learned` are the weights for tables with a head whose normal is known, `bare` for all
    others. `sharpness` multiplies the logarithms of the agents' shares. Somebody is meant from the
    probability `threshold` on; which of the two is asked where the first of them has less than
    `sure` of what both have.
    """

    format: Literal[1] = 1
    learned: Scope = Scope(near=15.39, lead=3.15, texts=-0.81, bias=-3.96)
    bare: Scope = Scope(near=15.39, lead=3.15, texts=-0.81, bias=-3.96)
    sharpness: float = 1.0
    threshold: float = 0.5
    sure: float = 0.52

    @property
    def version(self) -> str:
        """A hash of the numbers."""
        return hashlib.sha256(self.text().encode()).hexdigest()[:12]

    def text(self) -> str:
        """The numbers as JSON, one a line."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"

    def write(self, path: Path) -> None:
        """Writes the file. `InvalidInput` when that is not possible."""
        try:
            path.write_text(self.text(), encoding="utf-8")
        except OSError as error:
            raise errors.InvalidInput(f"{path} cannot be written: {error}") from None

    @classmethod
    def read(cls, path: Path) -> Self:
        """The numbers of a file. `InvalidInput` tells what is wrong with it."""
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise errors.InvalidInput(f"{path} cannot be read: {error}") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise errors.InvalidInput(
                f"{path} is no fit of the router: {where}: {first['msg']}; "
                "`lmos router fit` writes one"
            ) from None
