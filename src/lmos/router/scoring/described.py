"""How likely each capability is meant, whether it has many examples, few or none.

The nearest of a hundred examples is nearer by chance than the only one of another capability, and
any example is nearer than a description: similarities of capabilities that say different amounts of
themselves cannot be compared. So each becomes log odds by what they come from, with weights that
were fitted on tables in which capabilities have 0 to 100 examples, drawn from CLINC150 and
BANKING77 (`bench/router_few.py --only fit`).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmos.model.base import Strict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lmos.router.table import Near, RoutingTable

#: Weight of a head's scores beside the log odds.
HEAD = 0.5
#: Deviations of the logarithm of the numbers of examples between which the log odds come in.
EVEN, UNEVEN = 0.2, 0.6
#: How much of a score from descriptions is the nearest text; the rest is the mean of all.
NEAREST = 0.7


class Odds(Strict):
    """Weights of the similarity to the nearest example, to the three nearest, and to the agent's
    own words (`described`; `alone` comes to it where there are no examples); what having examples
    adds, and each time as many of them (`more`, by the natural logarithm). `nobody` are the log
    odds of nobody.
    """

    nearest: float = 8.18
    three: float = 4.62
    described: float = 5.37
    alone: float = 9.22
    examples: float = -1.58
    more: float = -0.58
    nobody: float = 6.17


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """Similarities of each capability (float32[c]): the nearest example, the mean of the three
    nearest (or as many as there are), and its description; 0 where there is none. `counts` int[c]
    are the examples.
    """

    nearest: "NDArray[np.float32]"
    three: "NDArray[np.float32]"
    described: "NDArray[np.float32]"
    counts: "NDArray[np.int64]"


def log_odds(table: "RoutingTable", near: "Near", odds: Odds) -> "NDArray[np.float64]":
    """float64[c]: the log odds, up to what they have in common, of each capability in that part of
    the table.
    """
    import numpy as np

    like = likeness(table, near)
    has = like.counts > 0
    found: NDArray[np.float64] = (
        odds.nearest * like.nearest.astype(float)
        + odds.three * like.three
        + np.where(has, odds.described, odds.described + odds.alone) * like.described
        + has * odds.examples
        + odds.more * np.log(np.maximum(like.counts, 1))
    )
    return found


def unevenness(examples: "NDArray[np.int64]") -> float:
    """How much the log odds have to say (0 to 1) where capabilities have so many examples: nothing
    where all have about as many, for then a head alone tells best; all where none has any.
    """
    import numpy as np

    if not len(examples) or not examples.any():
        return 1.0
    deviation = float(np.log1p(examples).std())
    return min(max((deviation - EVEN) / (UNEVEN - EVEN), 0.0), 1.0)


def likeness(table: "RoutingTable", near: "Near") -> Likeness:
    """How near a text is to the examples and to the words of each capability of a part."""
    import numpy as np

    counts = table.examples[near.capabilities]
    sizes = np.diff(near.starts, append=len(near.rows))
    said = np.arange(len(near.rows)) - near.starts[near.numbers] < counts[near.numbers]
    nearest, three = _nearest(np.where(said, near.similarities, -np.inf), near)
    words = np.maximum.reduceat(np.where(said, -np.inf, near.similarities), near.starts)
    total = np.add.reduceat(np.where(said, 0, near.similarities), near.starts)
    mean = total / np.maximum(sizes - counts, 1)
    described = np.where(sizes > counts, NEAREST * words + (1 - NEAREST) * mean, 0)
    return Likeness(nearest, three, described.astype(np.float32), counts)


def _nearest(
    left: "NDArray[np.float32]", near: "Near"
) -> "tuple[NDArray[np.float32], NDArray[np.float32]]":
    """The nearest example of each capability, and the mean of its three nearest, those equally near
    being one. `left` has the similarities, minus infinity for what is no example; it is changed.
    """
    import numpy as np

    best = np.maximum.reduceat(left, near.starts)
    has = np.isfinite(best)
    nearest = np.where(has, best, 0).astype(np.float32)
    total, count = nearest.copy(), has.astype(np.float32)
    for _ in range(2):
        left[left >= best[near.numbers]] = -np.inf
        best = np.maximum.reduceat(left, near.starts)
        there = np.isfinite(best)
        total[there] += best[there]
        count += there
    return nearest, (total / np.maximum(count, 1)).astype(np.float32)
