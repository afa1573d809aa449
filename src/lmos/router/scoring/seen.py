"""A text seen against a table: how much it is each agent's, and signs of whether it is anybody's.

Where a head was fitted, a capability's score is its logit and, times a learned weight, how near its
nearest texts are; else it is the latter alone. Where capabilities have very differently many
examples, or none, their log odds by what they say of themselves (`described`) come to it. The
agents' shares are the softmax of the scores, summed over their capabilities.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lmos.router.scoring.described import HEAD, Odds, log_odds
from lmos.router.scoring.learned import Normal
from lmos.router.scoring.neighbours import nearness
from lmos.router.table import Near, RoutingTable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Temperature of the shares where no head was fitted.
BARE = 0.04
#: The lead of an only agent.
ALONE = 0.15
#: Agents that have a share of the probability: of thousands the rest, far off one by one, would
#: together outweigh the nearest, and a part of the table would decide otherwise than the whole.
COUNTED = 48
#: Texts of a table from which on only the head's first capabilities are looked at, and how many.
MANY, FIRST = 3_000, 16


@dataclass(frozen=True, slots=True)
class Signs:
    """What tells whether anybody is meant.

    `near` is how near the nearest capability is (cosine) and `lead` how far the next agent is
    behind; `texts` the logarithm of how many texts that capability has: the more, the nearer the
    nearest lies by chance. `usual` is the highest score against what messages of the table's kind
    have, in deviations; 0 where that is not known. `odds` are the log odds that any capability is
    meant rather than none, by what they say of themselves; 0 where these do not count.
    """

    near: float
    lead: float
    texts: float
    usual: float
    odds: float = 0.0

    def data(self) -> tuple[float, ...]:
        """The signs as numbers, in order."""
        return self.near, self.lead, self.texts, self.usual, self.odds


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """`near` is the part of the table that was looked at; `capabilities` float64[c] are the scores
    of its capabilities (log odds) and `agents` float64[a] the logarithms of its agents' shares.
    """

    near: Near
    capabilities: "NDArray[np.float64]"
    agents: "NDArray[np.float64]"
    signs: Signs

    @property
    def best(self) -> int:
        """The number of the best agent in the table."""
        return int(self.near.agents[self.agents.argmax()])

    def place(self, agent: int) -> int:
        """Where among `agents` that agent is, which must be among those looked at."""
        return int(self.near.agents.searchsorted(agent))


def look(
    table: RoutingTable,
    text: str,
    vector: "NDArray[np.float32]",
    keep: Sequence[int] = (),
    odds: Odds | None = None,
) -> Seen:
    """The text with that vector, seen against the table, which has at least one agent; agents with
    the numbers `keep` are looked at in any case. `odds` weigh what capabilities say of themselves.
    """
    import numpy as np

    learned = table.learned
    logits = learned.head.logits(learned.features(text, vector)) if learned.head else None
    near = _near(table, vector, logits, keep)
    nearest = nearness(near.similarities, near.numbers, near.starts)
    scores, temperature = nearest, BARE
    if logits is not None:
        scores = logits[near.capabilities] + np.float32(learned.neighbours) * nearest
        temperature = learned.temperature
    signs = _signs(near, nearest, scores, learned.normal)
    z = scores.astype(float) / temperature
    if table.uneven:
        odds = odds or Odds()
        theirs = log_odds(table, near, odds)
        signs = replace(signs, odds=_logarithm_of_sum(theirs) - odds.nobody)
        theirs += 0 if logits is None else HEAD * scores
        z = (1 - table.uneven) * z + table.uneven * theirs
    return Seen(near, z, _log_shares(z, near), signs)


def _near(
    table: RoutingTable,
    vector: "NDArray[np.float32]",
    logits: "NDArray[np.float32] | None",
    keep: Sequence[int],
) -> Near:
    """What may matter of the table: where a head was fitted to many texts, its first choices."""
    import numpy as np

    if logits is None or len(table.rows) < MANY or len(logits) <= FIRST:
        return table.near(vector, keep)
    return table.part(np.sort(np.argpartition(logits, -FIRST)[-FIRST:]), vector, keep)


def _logarithm_of_sum(z: "NDArray[np.float64]") -> float:
    import numpy as np

    return float(np.log(np.exp(z - z.max()).sum()) + z.max())


def _log_shares(scores: "NDArray[np.float64]", near: Near) -> "NDArray[np.float64]":
    import numpy as np

    weights = np.exp(scores - scores.max())
    sums = np.add.reduceat(weights, near.firsts)
    if len(sums) > COUNTED:
        sums[sums < np.partition(sums, -COUNTED)[-COUNTED]] = 0
    shares: NDArray[np.float64] = np.log(np.maximum(sums / sums.sum(), 1e-12))
    return shares


def _signs(
    near: Near,
    nearest: "NDArray[np.float32]",
    scores: "NDArray[np.float32]",
    normal: Normal | None,
) -> Signs:
    import numpy as np

    by_agent = np.sort(np.maximum.reduceat(nearest, near.firsts))[::-1]
    number = int(nearest.argmax())
    stops = np.append(near.starts, len(near.rows))
    return Signs(
        near=float(by_agent[0]),
        lead=float(by_agent[0] - by_agent[1]) if len(by_agent) > 1 else ALONE,
        texts=float(np.log(stops[number + 1] - stops[number])),
        usual=(float(scores.max()) - normal.score) / normal.deviation if normal else 0.0,
    )
