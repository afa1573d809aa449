"""What is learned of a table when it is built: its words, a head, how its own messages score.

A part of the examples is left out first: how a head without them does on them tells how sure the
head may be (the temperature of the scores) and how high a message of the table's kind scores (its
normal). The head is then fitted to all texts, from there on. Of tables too large for a head, or
with a single capability, nothing is.
"""

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
#: Weight of how near the nearest texts are beside a head's logits.
NEIGHBOURS = 2.0
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
    """`head` is None of a table that is too large for one, or has a single capability;
    `temperature` is that of the scores, None where too few examples tell it.
    """

    lexicon: Lexicon = field(default_factory=Lexicon)
    head: Head | None = None
    temperature: float | None = None
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
    if not learnable(numbers):
        return Learned()
    classes = int(numbers[-1]) + 1
    features = joined(vectors, letters)
    start, scores, meant = _left_out(vectors, features, numbers, said)
    steps = head.STEPS if start is None else FURTHER
    found = head.fitted(features, numbers, classes, start, steps=steps)
    if len(meant) < ENOUGH:
        return Learned(lexicon, found)
    top = scores.max(1)
    normal = Normal(float(top.mean()), max(float(top.std()), 1e-3))
    return Learned(lexicon, found, temperature(scores, meant), normal)


def joined(vectors: "NDArray[np.float32]", letters: "NDArray[np.float16]") -> "NDArray[np.float32]":
    """float32[n, d]: what the head sees of texts with these vectors."""
    import numpy as np

    return np.concatenate([vectors, np.float32(LEXICAL) * letters.astype(np.float32)], 1)


def _left_out(
    vectors: "NDArray[np.float32]",
    features: "NDArray[np.float32]",
    numbers: "NDArray[np.int64]",
    said: "NDArray[np.bool_]",
) -> "tuple[Head | None, NDArray[np.float32], NDArray[np.int64]]":
    """A head fitted to a part, the scores of examples that were left out, and whose they are.
    Examples of a capability with no other text are not left out.
    """
    import numpy as np

    classes = int(numbers[-1]) + 1
    part = _parts(numbers, said)
    scores, meant, made = [np.zeros((0, classes), np.float32)], [np.zeros(0, np.int64)], None
    for number in range(PARTS if len(numbers) <= FEW else 1):
        left, kept = np.flatnonzero(part == number)[:MOST], np.flatnonzero(part != number)
        if not len(left):
            continue
        made = head.fitted(features[kept], numbers[kept], classes, steps=FIRST)
        starts = np.searchsorted(numbers[kept], np.arange(classes))
        near = [nearness(row, numbers[kept], starts) for row in vectors[left] @ vectors[kept].T]
        scores.append(made.logits(features[left]) + np.float32(NEIGHBOURS) * np.stack(near))
        meant.append(numbers[left])
    return made, np.concatenate(scores), np.concatenate(meant)


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


def temperature(scores: "NDArray[np.float32]", meant: "NDArray[np.int64]") -> float:
    """The temperature (0.2 to 5) at which the softmax of the scores tells best what is meant."""
    import numpy as np

    candidates = np.geomspace(0.2, 5, 33)
    return float(min(candidates, key=lambda t: _surprise(scores / np.float32(t), meant)))


def _surprise(scores: "NDArray[np.float32]", meant: "NDArray[np.int64]") -> float:
    import numpy as np

    top = scores.max(1, keepdims=True)
    total = np.log(np.exp(scores - top).sum(1)) + top[:, 0]
    return float((total - scores[np.arange(len(meant)), meant]).mean())
