"""A few directions for each capability in place of all its texts.

A capability's texts fall into a few clusters, and a message that is near one of the texts is near
its cluster's centre. So the centres, in the fewer dimensions that tell them apart best, name the
capabilities worth a look; of those every text is looked at. Nothing of it is ever changed: the
centres of another table are copied from this one, but for the capabilities that are new.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    Numbers = NDArray[np.int64]

#: Centres whose capabilities are looked at wholly, and dimensions that the centres are compared in.
#: Measured with 10,000 agents (`bench/router_scale.py --only same`).
SHORTLIST = 160
#: Of fewer centres it is one in so many, and this many at least.
SHARE, LEAST = 64, 96
DIMENSIONS = 128
#: Texts for which there is one centre, at most MOST of a capability.
TEXTS, MOST = 6, 32
#: Rounds in which centres find their place; vectors that the dimensions are chosen from.
ROUNDS, SAMPLE = 4, 20_000
#: Capabilities that are worked on at a time, so that no step keeps other threads waiting.
_STEP = 256


@dataclass(frozen=True, slots=True, eq=False)
class Centres:
    """Centres of capabilities: `coarse` float32[n, k] in the dimensions of `basis` float32[d, k],
    in the order of the capabilities, and `owners` int[n] the capability of each.
    """

    basis: "Vectors"
    coarse: "Vectors"
    owners: "Numbers"

    def shortlist(self, vector: "Vectors") -> "Numbers":
        """The numbers of the capabilities that a vector is nearest to, ascending."""
        import numpy as np

        similarities = self.coarse @ (vector @ self.basis)
        count = min(SHORTLIST, max(LEAST, len(similarities) // SHARE))
        if len(similarities) <= count:
            return np.unique(self.owners)
        best = np.argpartition(similarities, -count)[-count:]
        found: Numbers = np.unique(self.owners[best])
        return found


def counts_of(sizes: "Numbers") -> "Numbers":
    """How many centres capabilities of these sizes have."""
    import numpy as np

    return np.clip(-(-sizes // TEXTS), 1, MOST)


def basis_of(vectors: "Vectors") -> "Vectors":
    """float32[d, k]: the dimensions in which the vectors differ most."""
    import numpy as np

    _, directions = np.linalg.eigh(vectors.T @ vectors)
    return np.ascontiguousarray(directions[:, -DIMENSIONS:], np.float32)


def placed(
    at: "Callable[[Numbers], Vectors]", places: "Numbers", sizes: "Numbers", basis: "Vectors"
) -> "Vectors":
    """float32[n, k]: the centres, in the dimensions of the basis, of capabilities that have the
    vectors at these places, `sizes` of them each.
    """
    import numpy as np

    counts = counts_of(sizes)
    starts, begins = firsts(sizes), firsts(counts)
    found = np.empty((int(counts.sum()), basis.shape[1]), np.float32)
    for size in np.unique(sizes):
        alike = np.flatnonzero(sizes == size)
        for part in (alike[i : i + _STEP] for i in range(0, len(alike), _STEP)):
            of = at(places[starts[part, None] + np.arange(size)].ravel())
            count = int(counts[part[0]])
            clusters = _clusters(of.reshape(len(part), size, -1), count)
            found[begins[part, None] + np.arange(count)] = clusters @ basis
    return found


def firsts(counts: "Numbers") -> "Numbers":
    """Where each begins, of parts of these lengths that follow each other."""
    import numpy as np

    starts: Numbers = np.zeros(len(counts), np.int64)
    np.cumsum(counts[:-1], out=starts[1:])
    return starts


def ranges(starts: "Numbers", counts: "Numbers") -> "Numbers":
    """The numbers from each start on, as many as its count, one range after the other."""
    import numpy as np

    if not len(counts):
        return np.zeros(0, np.int64)
    within = np.arange(int(counts.sum())) - np.repeat(firsts(counts), counts)
    return np.repeat(starts, counts) + within


def _clusters(of: "Vectors", count: int) -> "Vectors":
    """float32[capabilities, count, d] unit centres of float32[capabilities, texts, d]."""
    import numpy as np

    texts = of.shape[1]
    centres: Vectors = of[:, np.linspace(0, texts - 1, count).astype(int)]
    for _ in range(ROUNDS if count > 1 else 0):
        nearest = (of @ centres.swapaxes(1, 2)).argmax(2)
        mine = (nearest[:, None, :] == np.arange(count)[:, None]).astype(np.float32)
        centres = _unit(mine @ of, centres)
    return centres if count > 1 else _unit(of.mean(1, keepdims=True), centres)


def _unit(sums: "Vectors", before: "Vectors") -> "Vectors":
    """The sums at unit length; what nothing belongs to stays where it was."""
    import numpy as np

    lengths = np.linalg.norm(sums, axis=2, keepdims=True)
    unit: Vectors = np.where(lengths > 1e-6, sums / np.maximum(lengths, 1e-6), before)
    return unit.astype(np.float32)
