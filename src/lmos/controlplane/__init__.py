"""The control plane: what should be is compared with what is, and made so.

`Driver` watches the store and calls reconcilers, one worker a key, for ever. `AgentReconciler`
keeps what is known of running agents true; `ChannelReconciler` keeps routings what the resolver
says. `EventLog` tells people what changed. All of it knows only the seam `Store`, so it serves a
laptop and a cluster alike.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from lmos.controlplane.agents import AgentReconciler, Probe
from lmos.controlplane.channels import ChannelReconciler
from lmos.controlplane.driver import Driver, Reconciler
from lmos.controlplane.events import Event, EventLog
from lmos.model import Describe, Store

__all__ = [
    "AgentReconciler",
    "ChannelReconciler",
    "ControlPlane",
    "Driver",
    "Event",
    "EventLog",
    "Probe",
    "Reconciler",
]


class ControlPlane:
    """Runs all reconcilers over a store while it is entered."""

    def __init__(self, store: Store, *, describe: Describe, probe: Probe, events: EventLog) -> None:
        reconcilers: Sequence[Reconciler] = (
            AgentReconciler(store, describe, probe, events),
            ChannelReconciler(store, events),
        )
        self.driver = Driver(store, reconcilers)

    async def __aenter__(self) -> Self:
        await self.driver.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.driver.__aexit__(kind, error, trace)
