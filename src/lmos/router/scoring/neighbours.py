"""How near a text is to each capability, by the nearest of its texts."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: How many of a capability's nearest texts count.
COUNT = 3


def nearness(
    similarities: "NDArray[np.float32]", numbers: "NDArray[np.int64]", starts: "NDArray[np.int64]"
) -> "NDArray[np.float32]":
    """float32[capabilities]: the mean of a capability's nearest text and of its three nearest (or
    as many as it has). Texts equally near count as one. `similarities` float32[texts] are ordered
    by capability; `numbers` int[texts] tells which, `starts` int[capabilities] where each begins.
    """
    import numpy as np

    left = similarities.copy()
    nearest = np.maximum.reduceat(left, starts)
    total, count, best = nearest.copy(), np.ones_like(nearest), nearest
    for _ in range(COUNT - 1):
        left[left >= best[numbers]] = -np.inf
        best = np.maximum.reduceat(left, starts)
        there = np.isfinite(best)
        total[there] += best[there]
        count += there
    scores: NDArray[np.float32] = ((nearest + total / count) / 2).astype(np.float32)
    return scores
