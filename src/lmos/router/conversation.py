"""A message in its conversation: whose it is, given whose the conversation was.

A message is seen twice: by itself, and together with what the user said before. What both say of
each agent is weighed with how often a message of its form stays with the agent that answered last,
and all of it becomes one probability of each agent and of nobody. The weights are measured: they
are fitted on conversations put together from public data (`bench/router_few.py --only fit`), by
form of the message, so that "and the month before?" stays unless it clearly points elsewhere while
a whole sentence goes at once to whom it is for.

The forms are told by English words. A message in another language (`unknown`) is weighed like one
that points back: what it says decides, and the agent that answered last has a good start.
"""

from typing import TYPE_CHECKING

from lmos.model.base import Strict
from lmos.router.followup import Form
from lmos.router.request import RoutingRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Probabilities below this are not told apart.
LEAST = 1e-4
#: Agents of the conversations that the weights were fitted to. Of a message that tells nothing,
#: each of more agents has less: that says nothing against the one that answered last.
AGENTS = 6
#: Characters of what was said before that go along.
BEFORE = 400


class Stay(Strict):
    """How a form is weighed: `alone` and `joined` multiply the logarithms of the probabilities that
    the message has by itself and together with what was said before; `active` are the log odds that
    being the agent that answered last adds, `nobody` what is added for nobody.
    """

    alone: float
    joined: float
    active: float
    nobody: float


class Prior(Strict):
    """The weights by form of the message."""

    whole: Stay = Stay(alone=1.12, joined=0.29, active=1.03, nobody=-0.36)
    referring: Stay = Stay(alone=1.1, joined=0.37, active=2.64, nobody=-2.13)
    elliptic: Stay = Stay(alone=0.84, joined=0.2, active=4.0, nobody=-1.86)
    unknown: Stay = Stay(alone=1.1, joined=0.37, active=2.64, nobody=-2.13)

    def of(self, form: Form) -> Stay:
        """The weights of a form. Greetings and thanks are weighed like what cannot stand alone."""
        found: Stay = getattr(self, "elliptic" if form == "social" else form)
        return found


def texts_of(request: RoutingRequest, form: Form) -> list[str]:
    """The message by itself and, where it may continue, together with what was said before: the
    texts of one call of an embedder.
    """
    if request.before and form != "social":
        return [request.text, f"{request.before[-BEFORE:]} {request.text}"]
    return [request.text]


def weighed(
    alone: "NDArray[np.float64]", joined: "NDArray[np.float64]", active: int, stay: Stay
) -> "NDArray[np.float64]":
    """The probability of each agent in the conversation that the agent with the number `active`
    answered last, from those that the message has by itself and joined to what was said before.
    Each are float64[agents]; what is missing to 1 is nobody's.
    """
    import numpy as np

    z = stay.alone * logarithms(alone) + stay.joined * logarithms(joined)
    among = np.log(max(len(alone), AGENTS) / AGENTS)
    z[active] += stay.active + (stay.alone + stay.joined) * among
    z[-1] += stay.nobody
    weights = np.exp(z - z.max())
    found: NDArray[np.float64] = weights[:-1] / weights.sum()
    return found


def logarithms(shares: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Of the probability of each agent, then of nobody. The more a message is for nobody, the less
    it tells which agent it is for: then it is as much each one's.
    """
    import numpy as np

    total = min(float(shares.sum()), 1.0)
    shares = total * shares + (1 - total) * total / len(shares)
    found: NDArray[np.float64] = np.log(np.maximum(np.append(shares, 1 - total), LEAST))
    return found
