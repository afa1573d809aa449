"""What a language model's choice says, weighed against what the vectors say.

The choice is evidence, not truth: it makes what was chosen likelier by a factor that was fitted to
how often the model is right. So a good model moves an unsure decision and a poor one does not, and
the probabilities stay those of a decision that is right so often.
"""

import math
from dataclasses import dataclass

from lmos.model import Candidate, Decision
from lmos.model.base import Strict

#: The least probability that a candidate is taken to have before the evidence.
LEAST = 0.005
#: How many agents are offered to choose from.
OFFERED = 3
_NOBODY = Candidate(agent="", probability=0.0)


class Reliance(Strict):
    """How a router relies on a language model.

    It is asked where the vectors' confidence is less than `below`. Its choice is taken to be
    exp(`weight`) times as likely where it is right as where something else is. Two agents are
    offered where the second is at least `near` times as probable as the first, and nobody is less
    probable than both.
    """

    below: float = 0.7
    weight: float = 3.0
    near: float = 0.7


@dataclass(frozen=True, slots=True)
class Choice:
    """What a model chose: one agent, two that fit alike, or none."""

    agents: tuple[str, ...]
    reason: str


def weighed(near: Decision, choice: Choice, weight: float) -> Decision:
    """The vectors' decision with the probabilities that the choice leads to, ranked by them. They
    add up to 1 as before; outcome and confidence are left as they were.
    """
    said = math.exp(weight) / max(len(choice.agents), 1)
    likely = {
        c.agent: max(c.probability, LEAST) * (said if c.agent in choice.agents else 1.0)
        for c in near.candidates
    }
    nobody = max(near.out_of_scope, LEAST) * (said if not choice.agents else 1.0)
    left_out = max(0.0, 1 - near.out_of_scope - sum(c.probability for c in near.candidates))
    total = sum(likely.values()) + nobody + left_out
    ranked = sorted(near.candidates, key=lambda c: -likely[c.agent])
    return near.but(
        candidates=tuple(c.but(probability=round(likely[c.agent] / total, 4)) for c in ranked),
        out_of_scope=round(nobody / total, 4),
    )


def most_probable(decision: Decision, reliance: Reliance) -> Decision:
    """The decision with the outcome that its probabilities lead to, and that one's confidence."""
    first, second = (c.probability for c in (*decision.candidates, _NOBODY, _NOBODY)[:2])
    if decision.out_of_scope >= first:
        return decision.but(outcome="out_of_scope", confidence=decision.out_of_scope)
    if second >= reliance.near * first and second > decision.out_of_scope:
        return decision.but(outcome="clarify", confidence=offered(decision))
    return decision.but(outcome="route", confidence=first)


def offered(decision: Decision) -> float:
    """The probability that the right agent is among those that would be offered."""
    return round(sum(c.probability for c in decision.candidates[:OFFERED]), 4)
