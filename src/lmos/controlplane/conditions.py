"""Conditions over time."""

from collections.abc import Sequence
from datetime import datetime

from lmos.model import Condition


def settled(
    before: Sequence[Condition], after: Sequence[Condition], now: datetime
) -> tuple[Condition, ...]:
    """The new conditions, each with the time of its last change of status."""
    old = {condition.type: condition for condition in before}
    return tuple(
        new.but(last_transition_time=known.last_transition_time)
        if (known := old.get(new.type)) and known.status == new.status
        else new.but(last_transition_time=now)
        for new in after
    )
