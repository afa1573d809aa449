"""What is learned of a table when it is built: its words, a head, how its own messages score.

A part of the examples is left out first: how a head without them does on them tells how much the
nearest texts weigh beside it, how sure it may be (the temperature of the scores), and how high a
message of the table's kind scores (its normal). The head is then fitted to all texts, from there
on. Of tables too large for a head, or with a single capability, nothing is.
"""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lmos.router.scoring import head
from lmos.router.scoring.head import Head
from lmos.router.scoring.lexical import Lexicon
from lmos.router.scoring.neighbours import nearness

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Weight of the letters beside the meaning in what a head sees.
LEXICAL = 0.4
#: Weights that how near the nearest texts are may have beside a head's logits; the first is that of
#: tables that tell nothing. Where matters are told apart by little, it is the highest.
NEIGHBOURS = (2.0, 1.0, 4.0, 6.0, 9.0, 12.0)
#: A temperature is taken to be `WARM`, times the texts a capability has and the weight of the
#: nearest by these powers, as on public data, if the examples left out don't tell otherwise. Both
#: expectations weigh as much as so many (per square of a logarithm).
WARM, BY_TEXTS, BY_WEIGHT = 0.36, 0.14, 0.2
EXPECTED = 3.0, 10.0
#: The temperature of a table that tells nothing.
UNKNOWN = 0.4
#: Texts times capabilities up to which a head is fitted: some seconds on one core.
LARGEST = 3_000_000
#: One in so many examples is left out; all in turn where there are few.
PARTS, FEW = 5, 600
#: Steps of a head that is left again, and of one that goes on from it.
FIRST, FURTHER = 30, 20
#: Examples left out from which on they tell anything, and how many are looked at at most.
ENOUGH, MOST = 30, 1_000


@dataclass(frozen=True, slots=True)
class Normal:
    """How messages of the table's kind score: the mean and the deviation of the highest score."""

    score: float
    deviation: float


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """`head` is None of a table that is too large for one, or has a single capability; then nothing
    else is told. `neighbours` is the weight of how near the nearest texts are beside its logits,
    `temperature` that of these scores. `normal` is None where too few examples tell it.
    """

    lexicon: Lexicon = field(default_factory=Lexicon)
    head: Head | None = None
    neighbours: float = NEIGHBOURS[0]
    temperature: float = 1.0
    normal: Normal | None = None

    def features(self, text: str, vector: "NDArray[np.float32]") -> "NDArray[np.float32]":
        """float32[d]: what the head sees of a text with that vector."""
        import numpy as np

        return np.concatenate([vector, LEXICAL * self.lexicon.vector(text)])


def learnable(numbers: "NDArray[np.int64]") -> bool:
    """Whether there are enough capabilities, and few enough texts, for a head."""
    return possible(len(numbers), int(numbers[-1]) + 1 if len(numbers) else 0)


def possible(texts: int, classes: int) -> bool:
    """Whether a head can be fitted to so many texts of so many capabilities."""
    return classes >= 2 and classes * texts <= LARGEST


def learn(
    lexicon: Lexicon,
    letters: "NDArray[np.float16]",
    vectors: "NDArray[np.float32]",
    numbers: "NDArray[np.int64]",
    said: "NDArray[np.bool_]",
) -> Learned:
    """What is to be learned of texts with these vectors (float32[n, d]), and those by the lexicon
    (`letters`, float16[n, D]), with the numbers of their capabilities (int[n]). `said` tells which
    are examples of what users say.
    """
    import numpy as np

    if not learnable(numbers):
        return Learned()
    classes = int(numbers[-1]) + 1
    features = joined(vectors, letters)
    start, logits, near, meant = _left_out(vectors, features, numbers, said)
    steps = head.STEPS if start is None else FURTHER
    found = head.fitted(features, numbers, classes, start, steps=steps)
    if len(meant) < ENOUGH:
        return Learned(lexicon, found, NEIGHBOURS[0], UNKNOWN)
    weight, temperature = scale(logits, near, meant, len(numbers) / classes)
    top = (logits + np.float32(weight) * near).max(1)
    normal = Normal(float(top.mean()), max(float(top.std()), 1e-3))
    return Learned(lexicon, found, weight, temperature, normal)


def joined(vectors: "NDArray[np.float32]", letters: "NDArray[np.float16]") -> "NDArray[np.float32]":
    """float32[n, d]: what the head sees of texts with these vectors."""
    import numpy as np

    return np.concatenate([vectors, np.float32(LEXICAL) * letters.astype(np.float32)], 1)


def _left_out(
    vectors: "NDArray[np.float32]",
    features: "NDArray[np.float32]",
    numbers: "NDArray[np.int64]",
    said: "NDArray[np.bool_]",
) -> "tuple[Head | None, NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]":
    """A head fitted to a part, the logits of examples that were left out, how near these are to
    each capability, and whose they are. Examples of a capability with no other text are not left
    out.
    """
    import numpy as np

    classes = int(numbers[-1]) + 1
    part = _parts(numbers, said)
    logits, meant, made = [np.zeros((0, classes), np.float32)], [np.zeros(0, np.int64)], None
    near = [*logits]
    for number in range(PARTS if len(numbers) <= FEW else 1):
        left, kept = np.flatnonzero(part == number)[:MOST], np.flatnonzero(part != number)
        if not len(left):
            continue
        made = head.fitted(features[kept], numbers[kept], classes, steps=FIRST)
        starts = np.searchsorted(numbers[kept], np.arange(classes))
        similar = vectors[left] @ vectors[kept].T
        near.append(np.stack([nearness(row, numbers[kept], starts) for row in similar]))
        logits.append(made.logits(features[left]))
        meant.append(numbers[left])
    return made, np.concatenate(logits), np.concatenate(near), np.concatenate(meant)


def _parts(numbers: "NDArray[np.int64]", said: "NDArray[np.bool_]") -> "NDArray[np.int64]":
    """The part that each text is left out with, -1 for none: examples take turns within their
    capability, where it has at least one text more.
    """
    import numpy as np

    order = np.random.default_rng(0).permutation(len(numbers))
    part = np.full(len(numbers), -1)
    seen = np.zeros(int(numbers.max()) + 1, np.int64)
    counts = np.bincount(numbers)
    for at in order:
        number = numbers[at]
        if said[at] and counts[number] > 1:
            part[at] = (seen[number] + number) % PARTS
            seen[number] += 1
    return part


def scale(
    logits: "NDArray[np.float32]",
    near: "NDArray[np.float32]",
    meant: "NDArray[np.int64]",
    each: float,
) -> tuple[float, float]:
    """The weight of how near texts are, and the temperature (0.2 to 5), at which the softmax of the
    scores tells best what is meant, given that capabilities have so many texts `each`.
    """
    import numpy as np

    best, found = np.inf, (NEIGHBOURS[0], 1.0)
    for weight in NEIGHBOURS:
        scores, warm = logits + np.float32(weight) * near, warmth(each, weight)
        far = EXPECTED[0] * math.log((weight + 1) / (NEIGHBOURS[0] + 1)) ** 2
        for temperature in np.geomspace(0.2, 5, 33).tolist():
            held = far + EXPECTED[1] * math.log(temperature / warm) ** 2
            scaled = np.divide(scores, temperature, dtype=np.float32)
            surprise = _surprise(scaled, meant) * len(meant) + held
            if surprise < best:
                best, found = surprise, (weight, temperature)
    return found


def warmth(each: float, weight: float) -> float:
    """The temperature expected where capabilities have so many texts each, and the nearest texts
    that weight.
    """
    return float(
        WARM * max(each, 1.0) ** BY_TEXTS * ((weight + 1) / (NEIGHBOURS[0] + 1)) ** BY_WEIGHT
    )


def _surprise(scores: "NDArray[np.float32]", meant: "NDArray[np.int64]") -> float:
    import numpy as np

    top = scores.max(1, keepdims=True)
    total = np.log(np.exp(scores - top).sum(1)) + top[:, 0]
    return float((total - scores[np.arange(len(meant)), meant]).mean())
