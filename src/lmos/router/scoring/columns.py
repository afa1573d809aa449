"""A head for a table that changed a little, at once: new columns beside those that there were.

The columns of capabilities that did not change stay as they are. Those of new ones are fitted with
the others fixed, to their own texts, to the texts of others that are nearest to these, and to a
sample of the rest: so a new capability is scored on the others' scale within some 50 ms. How the
others step back from it is left for the head that is fitted to all texts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmos.router.scoring.head import PENALTY, Head

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]
    Floats = NDArray[np.float32]

#: Texts of others that the new columns are fitted to: those nearest to each of the first SEVERAL
#: new capabilities, and a sample of all.
NEAREST, SAMPLE, SEVERAL = 200, 1_000, 8
#: Steps of the fit.
STEPS = 60


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of a table: `numbers` int[n] is the capability of each; `features` gives float32[m,
    d] of some and `vectors` their float32[m, e] of meaning; `similarities` are float32[n] of all to
    such a vector.
    """

    numbers: "Numbers"
    features: "Callable[[Numbers], Floats]"
    vectors: "Callable[[Numbers], Floats]"
    similarities: "Callable[[Floats], Floats]"


def extended(head: Head, columns: "Numbers", texts: Texts) -> Head:
    """The head of a table whose capabilities have these columns in another head; -1: they are new,
    and theirs are fitted.
    """
    import numpy as np

    kept, new = columns >= 0, np.flatnonzero(columns < 0)
    weights = np.zeros((len(head.weights), len(columns)), np.float32)
    weights[:, kept] = head.weights[:, columns[kept]]
    if len(new):
        rows, counts = _chosen(texts, new)
        x = texts.features(rows)
        x = np.concatenate([x, np.ones((len(x), 1), np.float32)], 1)
        others = x @ weights[:, kept]
        share = PENALTY / max(len(texts.numbers), 1)
        meant = texts.numbers[rows][:, None] == new
        weights[:, new] = _descended(x, _log_sum(others), meant, counts, share)
    return Head(weights)


def _chosen(texts: Texts, new: "Numbers") -> "tuple[Numbers, Floats]":
    """The texts to fit to, and how much each counts: by the inverse root of how many its capability
    has, as in a head that is fitted to all, and by how many it stands for; together 1.
    """
    import numpy as np

    mine = np.isin(texts.numbers, new)
    rows, stands = np.flatnonzero(mine), np.zeros(len(mine), np.float32)
    for number in new[:SEVERAL]:
        mean = texts.vectors(np.flatnonzero(texts.numbers == number)).mean(0)
        similar = np.where(mine, -np.inf, texts.similarities(mean))
        rows = np.append(rows, similar.argsort()[-NEAREST:])
    stands[rows] = 1
    left = np.flatnonzero(~mine & (stands == 0))
    sample = left[:: max(1, len(left) // SAMPLE)]
    stands[sample] = len(left) / max(len(sample), 1)
    rows = np.flatnonzero(stands)
    counts = np.bincount(texts.numbers)
    weight = stands[rows] / np.sqrt(counts[texts.numbers[rows]])
    return rows, (weight / weight.sum()).astype(np.float32)


def _descended(
    x: "Floats", others: "Floats", meant: "NDArray[np.bool_]", weight: "Floats", share: float
) -> "Floats":
    """float32[d, new]: the columns, by accelerated steps. `others` float32[n] is the logarithm of
    what the columns that are fixed make of each text.
    """
    import numpy as np

    w = np.zeros((x.shape[1], meant.shape[1]), np.float32)
    w[-1] = -1
    penalty = np.full((len(w), 1), share, np.float32)
    penalty[-1] = 0
    pace, size = 1.0, np.float32(1 / (0.5 * _steepest(x, weight) + share))
    ahead = w
    for _ in range(STEPS):
        z = x @ ahead
        total = np.logaddexp(others, _log_sum(z))
        error = (np.exp(z - total[:, None]) - meant) * weight[:, None]
        new = ahead - size * (x.T @ error + penalty * ahead)
        faster = (1 + (1 + 4 * pace * pace) ** 0.5) / 2
        ahead, w, pace = new + np.float32((pace - 1) / faster) * (new - w), new, faster
    return w


def _steepest(x: "Floats", weight: "Floats") -> float:
    """The highest eigenvalue of the features' second moment, or a little more."""
    import numpy as np

    v = np.ones(x.shape[1], np.float32) / np.sqrt(np.float32(x.shape[1]))
    length = 1.0
    for _ in range(8):
        v = x.T @ (weight * (x @ v))
        length = float(np.linalg.norm(v))
        v /= max(length, 1e-9)
    return 1.05 * length


def _log_sum(z: "Floats") -> "Floats":
    """float32[n]: the logarithm of the sum of the exponentials of float32[n, k]."""
    import numpy as np

    top = z.max(1, initial=-1e9)
    found: Floats = np.log(np.exp(z - top[:, None]).sum(1) + np.float32(1e-30)) + top
    return found
