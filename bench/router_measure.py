"""Figures of routing, the same for every router: who is chosen, how sure, and who was meant."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmos.model import Decision
from lmos.router import figures
from lmos.router.evaluation import in_scope
from router_data import Asked
from router_peers import Picked

#: Messages for nobody that there are for each that is for somebody, as in the test set of CLINC150.
STRANGE = 1000 / 4500

Floats = NDArray[np.float64]


def right(decision: Decision, asked: Asked) -> bool:
    return (decision.agent or "") == asked[1]


def nearest(decision: Decision, asked: Asked) -> bool:
    return bool(decision.candidates) and decision.candidates[0].agent == asked[1]


def share(values: Iterable[bool]) -> float:
    found = list(values)
    return round(sum(found) / max(len(found), 1), 4)


def auroc(meant: Iterable[float], strange: Iterable[float]) -> float:
    """The probability that a message that is meant scores higher than one that is not."""
    scored = [*((float(s), True) for s in meant), *((float(s), False) for s in strange)]
    return round(figures.auroc(scored) or 0.0, 4)


def best_joint(hit: NDArray[np.bool_], meant: Floats, strange: Floats) -> float:
    """The greatest share that goes right with one threshold on the score, refusing what is for
    nobody included, when there are STRANGE of these for each of the others.
    """
    steps = np.quantile(np.r_[meant, strange], np.linspace(0, 1, 401))
    return round(max(joint(hit & (meant >= t), strange < t) for t in steps), 4)


def joint(hit: NDArray[np.bool_], refused: NDArray[np.bool_]) -> float:
    return round(float((hit.mean() + STRANGE * refused.mean()) / (1 + STRANGE)), 4)


def ece(scored: Sequence[tuple[float, bool]]) -> float:
    plain = [(float(sure), bool(hit)) for sure, hit in scored]
    return round(figures.calibration_error(plain) or 0.0, 4)


def of_decisions(
    decisions: Sequence[Decision], asked: Sequence[Asked], refused: Sequence[Decision] = ()
) -> dict[str, Any]:
    """What our router decides of messages for somebody, and of some for nobody. `accuracy` is that
    of the first candidate, `decided` that of the decisions. `ece` is of all, `eceMeant` of those
    for somebody.
    """
    pairs = list(zip(decisions, asked, strict=True))
    hit = np.array([nearest(d, a) for d, a in pairs])
    scored = [(d.confidence, outcome_right(d, a)) for d, a in pairs]
    found = {
        "accuracy": share(hit),
        "decided": share(right(d, a) for d, a in pairs),
        "refused": share(d.outcome == "out_of_scope" for d in decisions),
        "asked": share(d.outcome == "clarify" for d in decisions),
        "eceMeant": ece(scored),
    }
    if not refused:
        return found
    strange = np.array([in_scope(d) for d in refused])
    meant = np.array([in_scope(d) for d in decisions])
    away = np.array([d.outcome == "out_of_scope" for d in refused])
    scored += [(d.confidence, d.outcome == "out_of_scope") for d in refused]
    return found | {
        "outOfScopeAuroc": auroc(meant, strange),
        "outOfScopeRecall": share(away),
        "joint": joint(np.array([right(d, a) for d, a in pairs]), away),
        "bestJoint": best_joint(hit, meant, strange),
        "ece": ece(scored),
    }


def outcome_right(decision: Decision, asked: Asked) -> bool:
    """Whether the agent is right, or where it is asked, one of the two."""
    if decision.outcome == "clarify":
        return asked[1] in [candidate.agent for candidate in decision.candidates[:2]]
    return right(decision, asked)


def of_picks(
    found: Picked, labels: NDArray[np.int64], *, probable: bool, strange: int = 0
) -> dict[str, Any]:
    """The same of a peer, whose last `strange` picks are of messages for nobody. `probable` when
    its confidence is a probability.
    """
    count = len(labels)
    hit = found.pick[:count] == labels
    sure = found.confidence
    figures: dict[str, Any] = {"accuracy": share(hit)}
    if probable:
        figures["eceMeant"] = ece(list(zip(sure[:count], hit, strict=True)))
    if strange:
        figures["outOfScopeAuroc"] = auroc(sure[:count], sure[count:])
        figures["bestJoint"] = best_joint(hit, sure[:count], sure[count:])
    if len(found.ms) and found.ms.any():
        figures |= times(found.ms)
    return figures


def times(ms: Sequence[float] | Floats) -> dict[str, float]:
    return {
        "p50": round(float(np.percentile(ms, 50)), 3),
        "p99": round(float(np.percentile(ms, 99)), 3),
    }
