"""Deciding again what was decided, with another table or another router."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from lmos.model import Decision, DecisionRecord, errors
from lmos.router import Router, RoutingRequest, RoutingTable
from lmos.runtime.affinity import replied
from lmos.runtime.decisions.comparing import Comparison
from lmos.runtime.stages import UNROUTED

#: The table on which a record's message is decided again.
TableOf = Callable[[DecisionRecord], Awaitable[RoutingTable]]


def request_of(record: DecisionRecord) -> RoutingRequest:
    """What the router was asked. `InvalidInput` where the words were not kept."""
    if not record.messages:
        raise errors.InvalidInput(
            f"the words of turn {record.turn_id!r} in conversation {record.conversation_id!r} were "
            "not kept, only their hash"
        )
    return RoutingRequest(
        messages=record.messages,
        active_agent=record.active_agent or None,
        offered=record.offered,
        explicit_agent=record.explicit_agent or None,
    )


async def replayed(
    records: Iterable[DecisionRecord], router: Router, table_of: TableOf
) -> Comparison:
    """Decides every record again and compares. Those whose words were not kept are counted and
    passed over; `InvalidInput` when that is all of them. What no router decided is left out.
    """
    found = Comparison()
    for record in records:
        if record.decision.stage in UNROUTED:
            continue
        if not record.messages:
            found.wordless += 1
            continue
        try:
            table = await table_of(record)
            found.add(record, await decided(request_of(record), record.waiting, router, table))
        except errors.LmosError as error:
            found.failed[errors.face_of(error).code] += 1
    if found.wordless and not found.total and not found.failed:
        raise errors.InvalidInput(
            f"none of the {found.wordless} decisions can be made again: only hashes of their "
            "messages were kept. Have the words kept from now on with the annotation "
            "lmos.eclipse/decision-inputs: kept on the channel, or LMOS_DECISIONS=kept"
        )
    return found


async def decided(
    request: RoutingRequest, waiting: bool, router: Router, table: RoutingTable
) -> Decision:
    """What the router makes of the request as the runtime asks it; `waiting` tells whether the
    active agent waits for a reply. One that the table does not have is nobody's active agent.
    """
    active = request.active_agent
    if active not in table.names:
        active, request = None, replace(request, active_agent=None)
    decision = await router.decide(request, table)
    return (
        replied(decision, active) if active and waiting and not request.explicit_agent else decision
    )
