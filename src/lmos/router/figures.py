"""Figures of how good probabilities are, from plain numbers: ranking, calibration, error.

Nothing here knows of routers. A figure that the data cannot tell, because there are no rows or only
one kind of them, is `None` rather than a number that looks like one.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from statistics import mean

#: A probability and whether what it is the probability of was so.
Scored = tuple[float, bool]


def auroc(scored: Sequence[Scored]) -> float | None:
    """The probability (0 to 1) that one that is so has a higher score than one that is not, equal
    scores counting half. `None` unless there are both.
    """
    positives = sum(so for _, so in scored)
    negatives = len(scored) - positives
    if not positives or not negatives:
        return None
    above, pairs = 0, 0.0
    for hits, misses in _steps(scored):
        pairs += misses * (above + hits / 2)
        above += hits
    return pairs / (positives * negatives)


def recall_at_precision(scored: Sequence[Scored], precision: float) -> float | None:
    """The greatest recall (0 to 1) of any threshold on the score at which the precision is at
    least that; 0 where no threshold reaches it, `None` where nothing is so.
    """
    positives = sum(so for _, so in scored)
    if not positives:
        return None
    found, taken, best = 0, 0, 0
    for hits, misses in _steps(scored):
        found, taken = found + hits, taken + hits + misses
        if found / taken >= precision:
            best = found
    return best / positives


def calibration_error(scored: Sequence[Scored], bins: int = 10) -> float | None:
    """The expected calibration error (0 to 1): how far the mean probability lies from the share
    that was so, over bins of equal width, each weighted by its rows. `None` without rows.
    """
    if not scored:
        return None
    sums = [0.0] * bins
    for probability, so in scored:
        sums[min(int(probability * bins), bins - 1)] += probability - so
    return sum(map(abs, sums)) / len(scored)


def brier(scored: Sequence[Scored]) -> float | None:
    """The mean squared distance (0 to 1) of the probability from what was so. `None` without
    rows.
    """
    return mean((probability - so) ** 2 for probability, so in scored) if scored else None


def _steps(scored: Sequence[Scored]) -> Iterator[tuple[int, int]]:
    """From the highest score down, how many of that score are so and how many are not. Equal
    scores are one step: no threshold parts them.
    """
    ordered = sorted(scored, key=lambda pair: -pair[0])
    for _, group in groupby(ordered, key=lambda pair: pair[0]):
        kinds = [so for _, so in group]
        yield sum(kinds), len(kinds) - sum(kinds)
