"""A linear head: one logit for each capability, fitted to the texts of a table.

Softmax regression with a quadratic penalty, by accelerated gradient steps in the metric of an upper
bound of the curvature (Böhning's: half the features' second moment, the same for all classes). The
bound is inverted once, so that a step costs two products of matrices and few are needed. Fitting is
deterministic.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Weight of the quadratic penalty, shared by the texts, and the number of steps.
PENALTY = 0.1
STEPS = 40


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """`weights` is float32[d + 1, classes], the last row what is added."""

    weights: "NDArray[np.float32]"

    def logits(self, features: "NDArray[np.float32]") -> "NDArray[np.float32]":
        """float32[..., classes] of features float32[..., d]."""
        found: NDArray[np.float32] = features @ self.weights[:-1] + self.weights[-1]
        return found


def fitted(
    features: "NDArray[np.float32]",
    numbers: "NDArray[np.int64]",
    classes: int,
    start: "Head | None" = None,
    *,
    steps: int = STEPS,
) -> Head:
    """The head that tells the class (`numbers`, int[n]) by the features (float32[n, d]). Classes
    weigh alike by half: a text counts by the inverse root of how many its class has. `start` is
    where to begin, for fewer steps.
    """
    if len(features) < features.shape[1]:
        return _fitted_few(features, numbers, classes, steps)
    begin = None if start is None else start.weights
    return Head(_descended(features, numbers, classes, begin, steps))


def _descended(
    features: "NDArray[np.float32]",
    numbers: "NDArray[np.int64]",
    classes: int,
    start: "NDArray[np.float32] | None",
    steps: int,
) -> "NDArray[np.float32]":
    """The weights after so many steps."""
    import numpy as np

    x = _with_one(features)
    weight = _balance(numbers, classes)
    share = PENALTY / max(len(x), 1)
    inverse = _inverse_curvature(x, weight, share)
    w = np.zeros((x.shape[1], classes), np.float32) if start is None else start
    penalty = np.full((x.shape[1], 1), share, np.float32)
    penalty[-1] = 0
    ahead, pace = w, 1.0
    for _ in range(steps):
        gradient = x.T @ _error(x @ ahead, numbers, weight) + penalty * ahead
        new = ahead - inverse @ gradient
        faster = (1 + (1 + 4 * pace * pace) ** 0.5) / 2
        ahead, w, pace = new + np.float32((pace - 1) / faster) * (new - w), new, faster
    return w


def _fitted_few(
    features: "NDArray[np.float32]", numbers: "NDArray[np.int64]", classes: int, steps: int
) -> Head:
    """The same of fewer texts than features, which lie in a space of as many dimensions as texts:
    there it is fast.
    """
    import numpy as np

    values, basis = np.linalg.eigh((features @ features.T).astype(np.float64))
    there = values > 1e-6
    axes = (features.T @ basis[:, there] / np.sqrt(values[there])).astype(np.float32)
    few = _descended(features @ axes, numbers, classes, None, steps)
    return Head(np.concatenate([axes @ few[:-1], few[-1:]]))


def _with_one(features: "NDArray[np.float32]") -> "NDArray[np.float32]":
    import numpy as np

    return np.concatenate([features, np.ones((len(features), 1), np.float32)], 1)


def _balance(numbers: "NDArray[np.int64]", classes: int) -> "NDArray[np.float32]":
    """The weight of each text; together 1."""
    import numpy as np

    counts = np.bincount(numbers, minlength=classes)
    weight = (1 / np.sqrt(counts[numbers])).astype(np.float32)
    found: NDArray[np.float32] = weight / weight.sum()
    return found


def _inverse_curvature(
    x: "NDArray[np.float32]", weight: "NDArray[np.float32]", penalty: float
) -> "NDArray[np.float32]":
    import numpy as np

    curvature = 0.5 * ((x * weight[:, None]).T @ x).astype(np.float64)
    curvature[np.diag_indices_from(curvature)] += penalty
    found: NDArray[np.float32] = np.linalg.inv(curvature).astype(np.float32)
    return found


def _error(
    logits: "NDArray[np.float32]", numbers: "NDArray[np.int64]", weight: "NDArray[np.float32]"
) -> "NDArray[np.float32]":
    """The gradient by the logits, in their place."""
    import numpy as np

    logits -= logits.max(1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(1, keepdims=True)
    logits[np.arange(len(numbers)), numbers] -= 1
    logits *= weight[:, None]
    return logits
