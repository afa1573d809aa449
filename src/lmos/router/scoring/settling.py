"""Learning of a table while another, or a makeshift of it, is in use.

A table that changed a little has a head whose columns for what is new were fitted beside the others
as they were. That head is fitted on to all texts, in few steps. Only when much has changed since
all was learned is all learned anew: how sure the head may be, and what is usual, change slowly.

Arithmetic is done on one thread meanwhile, one table at a time: a second thread would not only take
the core that decisions need; these would also wait for it, product by product.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

from lmos.router.scoring import columns, head
from lmos.router.scoring.head import Head
from lmos.router.scoring.learned import Learned, joined, learn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from threadpoolctl import ThreadpoolController

    from lmos.router.table import RoutingTable

#: Steps in which a head is fitted on.
FURTHER = 15

_one = Lock()


def further(table: "RoutingTable") -> Learned:
    """What there is, with the head fitted on to all texts of the table."""
    with _single_thread():
        features = joined(table.vectors, _letters(table))
        few = len(features) < features.shape[1]  # these are fitted from the beginning
        steps = head.STEPS if few else FURTHER
        classes, start = len(table.starts), table.learned.head
        found = head.fitted(features, table.numbers, classes, start, steps=steps)
    return replace(table.learned, head=found)


def anew(table: "RoutingTable") -> Learned:
    """All that a table's texts teach."""
    import numpy as np

    said = np.concatenate([np.zeros(0, bool), *(block.said for block in table.blocks)])
    with _single_thread():
        lexicon, letters = table.learned.lexicon, _letters(table)
        return learn(lexicon, letters, table.vectors, table.numbers, said)


def extended(table: "RoutingTable", known: Head, numbers: "NDArray[np.int64]") -> Head:
    """The head for a table whose capabilities have these numbers in the one of `known`; -1: they
    are new.
    """
    letters = _letters(table)

    def at(rows: "NDArray[np.int64]") -> "NDArray[np.float32]":
        return table.arena.at(table.places[rows])

    texts = columns.Texts(
        numbers=table.numbers,
        vectors=at,
        features=lambda rows: joined(at(rows), letters[rows]),
        similarities=lambda vector: table.arena.similarities(table.places, vector),
    )
    with _single_thread():
        return columns.extended(known, numbers, texts)


def _letters(table: "RoutingTable") -> "NDArray[np.float16]":
    if table.letters is None:
        raise ValueError("a table that no head can be fitted to has nothing to settle")
    return table.letters


@contextmanager
def _single_thread() -> Iterator[None]:
    with _one, _threads().limit(limits=1, user_api="blas"):
        yield


@cache
def _threads() -> "ThreadpoolController":
    import numpy  # noqa: F401  (what is controlled has to be loaded)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
