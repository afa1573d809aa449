"""Fitted numbers of the vector router, as data that can be kept, compared and replaced.

The default is fitted on public data (`bench/router.py --only fit`), never on examples of this
project. What depends on a table's own examples, its head and how sure that may be, is learned when
the table is built and is no part of this.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import ValidationError

from lmos.model import Embedder, RoutableAgent, errors
from lmos.model.base import Strict
from lmos.router.conversation import Prior
from lmos.router.evidence import Reliance
from lmos.router.scoring.described import Odds
from lmos.router.scoring.seen import Signs, look
from lmos.router.specs import OUT_OF_SCOPE, Labelled
from lmos.router.table import RoutingTable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: How differently many examples (0 to 1) capabilities have where what they say of themselves tells
#: whether anybody is meant.
UNEVEN = 0.5
#: Rows of a kind (for somebody, for nobody) from which on they tell anything.
ENOUGH = 10
#: How many rows the numbers that there were before weigh as much as.
BEFORE = 10.0
#: The least variance that a sign is taken to have.
SPREAD = 0.02
#: Greatest share of the first agent for which it may be asked which of two is meant.
ASKED = (0.5, 0.51, 0.52, 0.53, 0.54, 0.55, 0.56, 0.58, 0.6)

ScopeName = Literal["learned", "described", "bare"]


class Scope(Strict):
    """Weights of the signs that somebody is meant rather than nobody, in a logistic function."""

    near: float
    lead: float = 0.0
    texts: float = 0.0
    usual: float = 0.0
    odds: float = 0.0
    bias: float

    def meant(self, signs: Signs) -> float:
        """The probability (0 to 1) that somebody is meant."""
        z = self.bias + sum(w * s for w, s in zip(self.weights, signs.data(), strict=True))
        return 1 / (1 + math.exp(-min(max(z, -50.0), 50.0)))

    @property
    def weights(self) -> tuple[float, ...]:
        """The weights in the order of the signs."""
        return (self.near, self.lead, self.texts, self.usual, self.odds)


class Fit(Strict):
    """`learned` are the weights for tables with a head whose normal is known, `described` for those
    whose capabilities have very differently many examples or none, `bare` for all others. `odds`
    weigh what capabilities say of themselves. `sharpness` multiplies the logarithms of the agents'
    shares. The best agent is chosen where it has at least `threshold` of what it and nobody have of
    the probability; which of the best two is meant is asked where the first has less than `sure` of
    what both have. `model` tells when a language model is asked and how much its choice weighs,
    `conversation` how a message is weighed in one.
    """

    format: Literal[1] = 1
    learned: Scope = Scope(near=7.31, texts=0.07, usual=1.66, bias=0.4)
    bare: Scope = Scope(near=14.57, lead=6.77, texts=-0.99, bias=-3.54)
    described: Scope = Scope(near=4.47, lead=6.53, texts=-0.52, odds=0.42, bias=0.08)
    odds: Odds = Odds()
    sharpness: float = 1.0
    threshold: float = 0.5
    sure: float = 0.55
    conversation: Prior = Prior()
    model: Reliance = Reliance()

    def scope_of(self, table: RoutingTable) -> ScopeName:
        """Which of the weights are for that table."""
        if table.uneven > UNEVEN:
            return "described"
        return "learned" if table.learned.normal else "bare"

    def scope(self, table: RoutingTable) -> Scope:
        """The weights for that table."""
        found: Scope = getattr(self, self.scope_of(table))
        return found

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


@dataclass(frozen=True, slots=True, eq=False)
class _Observed:
    """Of each message: the signs (float64[n, signs]), the logarithms of the agents' shares
    (float64[n, agents], very low for those not looked at), and whose it is (int[n], -1 for
    nobody's).
    """

    signs: "NDArray[np.float64]"
    shares: "NDArray[np.float64]"
    own: "NDArray[np.int64]"


async def fit_of(
    agents: Sequence[RoutableAgent],
    labelled: Sequence[Labelled],
    embedder: Embedder,
    start: Fit | None = None,
) -> Fit:
    """The numbers that suit these messages best, from `start` on: the fewer there are the nearer
    to it. Messages that are examples of the agents, that follow others in a conversation, or that
    are of agents not there tell nothing and are left out. `InvalidInput` when too few are left.
    """
    return await fit_to(await RoutingTable.build(agents, embedder), labelled, embedder, start)


async def fit_to(
    table: RoutingTable,
    labelled: Sequence[Labelled],
    embedder: Embedder,
    start: Fit | None = None,
) -> Fit:
    """As `fit_of`, over a table that there is already."""
    start = start or Fit()
    rows = telling(labelled, table)
    if len(rows) < ENOUGH:
        raise errors.InvalidInput(
            f"{len(rows)} of {len(labelled)} labelled messages can be fitted to, and it takes "
            f"{ENOUGH}; give messages for {', '.join(table.names) or 'agents'} or {OUT_OF_SCOPE} "
            "that are no examples of the agents"
        )
    seen = await _observed(rows, table, embedder, start.odds)
    scope = _scope(seen, start.scope(table))
    sharpness = _sharpness(seen, start.sharpness)
    found = start.but(**{start.scope_of(table): scope, "sharpness": sharpness})
    return found.but(threshold=_threshold(seen, scope, found), sure=_sure(seen, found))


def telling(labelled: Sequence[Labelled], table: RoutingTable) -> list[Labelled]:
    """The messages that tell something new of a table: no examples of its agents, nothing that
    follows in a conversation, for agents that are there or for nobody.
    """
    known = {row.text.strip().lower() for row in table.rows}
    begun: set[str] = set()
    found = []
    for row in labelled:
        follows = bool(row.conversation) and row.conversation in begun
        begun.add(row.conversation)
        there = row.agent in table.names or row.agent == OUT_OF_SCOPE
        if there and not follows and row.text.strip().lower() not in known:
            found.append(row)
    return found


async def _observed(
    rows: Sequence[Labelled], table: RoutingTable, embedder: Embedder, odds: Odds
) -> _Observed:
    import numpy as np

    texts = [table.spelling.corrected(row.text) for row in rows]
    vectors = await embedder.embed(texts)
    seen = [
        look(table, text, vector, odds=odds) for text, vector in zip(texts, vectors, strict=True)
    ]
    shares = np.full((len(rows), len(table.names)), -27.6)
    for at, one in enumerate(seen):
        shares[at, one.near.agents] = one.agents
    places = {name: place for place, name in enumerate(table.names)}
    own = np.array([places.get(row.agent, -1) for row in rows], np.int64)
    return _Observed(np.array([one.signs.data() for one in seen]), shares, own)


def _scope(seen: _Observed, start: Scope) -> Scope:
    """The weights by Newton's method, held to those that there were; these where one of the kinds
    is missing.
    """
    import numpy as np

    meant = seen.own >= 0
    if min(meant.sum(), (~meant).sum()) < ENOUGH:
        return start
    x = np.c_[seen.signs, np.ones(len(meant))]
    before = np.array([*start.weights, start.bias])
    hold = BEFORE / 4 * np.maximum(np.r_[x[:, :-1].var(0), SPREAD], SPREAD)

    def surprise(w: "NDArray[np.float64]") -> float:
        told = np.logaddexp(0, np.where(meant, -1, 1) * (x @ w)).sum()
        return float(told + (hold * (w - before) ** 2).sum() / 2)

    w = before.copy()
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
        curvature = (x * (p * (1 - p))[:, None]).T @ x + np.diag(hold)
        step = np.linalg.solve(curvature, x.T @ (p - meant) + hold * (w - before))
        shorter = (w - step / 2**halved for halved in range(20))
        w = next((tried for tried in shorter if surprise(tried) < surprise(w)), w)
    names = ("near", "lead", "texts", "usual", "odds", "bias")
    return Scope(**{name: round(float(v), 3) for name, v in zip(names, w, strict=True)})


def _sharpness(seen: _Observed, start: float) -> float:
    """The factor at which the shares tell best whose a message is."""
    import numpy as np

    theirs = seen.own >= 0
    shares, own = seen.shares[theirs], seen.own[theirs]
    if len(own) < ENOUGH:
        return start

    def surprise(factor: float) -> float:
        z = factor * shares
        total = np.log(np.exp(z - z.max(1, keepdims=True)).sum(1)) + z.max(1)
        far = float(np.log(factor / start)) ** 2
        return float((total - z[np.arange(len(own)), own]).sum()) + BEFORE * far / 2

    return round(float(min(np.geomspace(0.4, 2.5, 61), key=surprise)), 3)


def _probabilities(seen: _Observed, fit: Fit) -> "NDArray[np.float64]":
    """float64[n, agents]: each agent's share of the probability that somebody is meant."""
    import numpy as np

    weights = np.exp(fit.sharpness * (seen.shares - seen.shares.max(1, keepdims=True)))
    shares: NDArray[np.float64] = weights / weights.sum(1, keepdims=True)
    return shares


def _threshold(seen: _Observed, scope: Scope, fit: Fit) -> float:
    """The threshold with which most messages go right; of those that do as well the one nearest to
    what it was.
    """
    import numpy as np

    meant = seen.own >= 0
    if min(meant.sum(), (~meant).sum()) < ENOUGH:
        return fit.threshold
    z = seen.signs @ np.array(scope.weights) + scope.bias
    meant_by = 1 / (1 + np.exp(-np.clip(z, -30, 30)))
    best = _probabilities(seen, fit).max(1) * meant_by
    somebody = best / (best + 1 - meant_by)
    right = seen.shares.argmax(1) == seen.own
    steps = np.linspace(0.1, 0.9, 81)
    hits = [float(np.where(somebody >= t, right, ~meant).sum()) for t in steps]
    good = [t for t, hit in zip(steps, hits, strict=True) if hit == max(hits)]
    return round(float(min(good, key=lambda t: abs(t - fit.threshold))), 3)


def _sure(seen: _Observed, fit: Fit) -> float:
    """The greatest share of the first of two up to which it is right no more often than not."""
    import numpy as np

    theirs = seen.own >= 0
    if seen.shares.shape[1] < 2 or not theirs.any():
        return fit.sure
    shares = np.sort(_probabilities(seen, fit)[theirs], 1)[:, ::-1]
    first = shares[:, 0] / (shares[:, 0] + shares[:, 1])
    right = seen.shares[theirs].argmax(1) == seen.own[theirs]
    found = [s for s in ASKED if (first < s).sum() >= ENOUGH and right[first < s].mean() <= 0.5]
    return max(found, default=fit.sure)
