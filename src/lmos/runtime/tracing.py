"""The spans of the runtime: the turn, the decision, each agent that is asked.

turn acme/web  ->  decide
               ->  ask billing-agent  ->  (in the agent's process) agent billing-agent -> ...

Where several agents answer, each one's part has a span with what it takes to answer it; where a
language model plans, so have its requests.

turn acme/web  ->  llm
               ->  part 0  ->  ask billing-agent  ->  ...
"""

from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, aclosing

from lmos.model import (
    Answer,
    Decided,
    Decision,
    Failed,
    Handover,
    InputRequired,
    Responder,
    Started,
    TextDelta,
    Turn,
    TurnEvent,
    Usage,
)
from lmos.telemetry import tracing
from lmos.telemetry.steps import Step, step

_SCOPE = "lmos.runtime"


def traced(respond: Responder) -> Responder:
    """The responder with a span around each turn."""

    async def responding(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        with step(
            turn,
            f"turn {turn.tenant}/{turn.channel}",
            scope=_SCOPE,
            way="server",
            entering=True,
            tenant=turn.tenant,
            channel=turn.channel,
            subset=turn.subset,
            conversation=turn.conversation_id,
            turn_id=turn.turn_id,
        ) as around:
            spoken = False
            async with aclosing(respond(around.turn)) as events:
                async for event in events:
                    if isinstance(event, TextDelta | Answer) and not spoken:
                        spoken = True
                        around.happened("first words")
                    _tell(around, event)
                    yield event

    def respond_traced(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        return responding(turn) if tracing.traced() else respond(turn)

    return respond_traced


def deciding(turn: Turn) -> AbstractContextManager[Step]:
    """A span around the decision; tell it by `decided`."""
    return step(turn, "decide", scope=_SCOPE)


def decided(around: Step, decision: Decision) -> None:
    """Tells the decision."""
    around.told(
        outcome=decision.outcome,
        chosen=decision.agent,
        capability=decision.capability,
        confidence=decision.confidence,
        out_of_scope=decision.out_of_scope,
        stage=decision.stage,
        model=decision.model,
        cost=decision.cost,
        router=decision.router,
        table=decision.table,
        sticky=decision.sticky,
    )


def asking(turn: Turn, agent: str, version: str) -> AbstractContextManager[Step]:
    """A span around asking an agent; its turn carries the trace on."""
    return step(
        turn,
        f"ask {agent}",
        scope=_SCOPE,
        way="client",
        chosen=agent,
        chosen_version=version,
        tenant=turn.tenant,
        channel=turn.channel,
        subset=turn.subset,
        conversation=turn.conversation_id,
    )


def part(turn: Turn, place: int, agent: str, capability: str) -> AbstractContextManager[Step]:
    """A span around one agent's part of the turn; its turn carries the trace on."""
    return step(turn, f"part {place}", scope=_SCOPE, chosen=agent, capability=capability)


def planning(turn: Turn, model: str) -> AbstractContextManager[Step]:
    """A span around a request to the model that plans; tell it by `planned`."""
    return step(turn, "llm", scope=_SCOPE, way="client", model=model)


def planned(around: Step, usage: Usage) -> None:
    """Tells what the request took."""
    around.told(
        response_model=usage.model,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
    )


def _tell(around: Step, event: TurnEvent) -> None:
    """What the turn's span has of its events."""
    match event:
        case Started():
            around.told(chosen=event.agent, chosen_version=event.version)
        case Decided():
            around.told(outcome=event.decision.outcome)
        case Handover():
            around.told(status=f"AGENT_HANDOVER[{event.to}]")
        case InputRequired():
            around.told(status="ONGOING")
        case Failed():
            around.failed(event.error)
