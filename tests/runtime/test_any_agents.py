"""Whatever agents do, a turn keeps its grammar, and its text is what its messages say."""

import asyncio
from contextlib import aclosing

from hypothesis import given, settings
from hypothesis import strategies as st
from runtime_parts import Player, turn_of

from lmos import Supervisor
from lmos.llm import Call, ScriptedModel
from lmos.model import (
    Answer,
    Candidate,
    Decision,
    Done,
    Failed,
    Handover,
    InputRequired,
    Message,
    StatusUpdate,
    SubTask,
    TextDelta,
    ToolCall,
    ToolResult,
    Turn,
    TurnEvent,
    errors,
)
from lmos.model.grammar import checked
from lmos.router import RoutingRequest, RoutingTable

NAMES = ("a", "b", "c")


def said(text: str, refusing: bool) -> list[TurnEvent]:
    message = Message(role="assistant", content=text)
    context = {"unresolved": "true"} if refusing else {}
    return [*(TextDelta(text=c) for c in text), Answer(message=message, context=context)]


#: What an agent may do, most of it before it ends.
PIECES = st.one_of(
    st.builds(said, st.text("xyz", min_size=1, max_size=3), st.booleans()),
    st.just([StatusUpdate(text="looking")]),
    st.just([ToolCall(id="1", name="t"), ToolResult(id="1", name="t")]),
    st.just([TextDelta(text="broken off ")]),
)
ENDS = st.one_of(
    st.just([Done()]),
    st.just([InputRequired(message=Message(role="assistant", content="Which?"))]),
    st.sampled_from((*NAMES, "human", "stranger", "")).map(lambda to: [Handover(to=to)]),
    st.sampled_from([errors.AgentFailed, errors.InvalidInput, errors.Overloaded]).map(
        lambda kind: [Failed.of(kind("no"))]
    ),
    st.just([RuntimeError("raised")]),
    st.just([]),
)
PLAYS = st.builds(
    lambda pieces, end: [event for piece in pieces for event in piece] + list(end),
    st.lists(PIECES, max_size=3),
    ENDS,
)
TASKS = st.lists(
    st.builds(
        SubTask,
        text=st.just("do it"),
        agent=st.sampled_from((*NAMES, "stranger")),
        after=st.lists(st.integers(-1, 4), max_size=2).map(tuple),
    ),
    min_size=1,
    max_size=4,
)
FALLBACKS = st.sampled_from([(), ("c",), ("human",), ("b", "c", "human")])


class Deciding:
    """A router that decides as it is told."""

    name = "deciding"

    def __init__(self, outcome: str, tasks: list[SubTask]) -> None:
        agents = [task.agent for task in tasks if task.agent in NAMES] or ["a"]
        candidates = [Candidate(agent=agent, probability=0.5) for agent in agents]
        data = {"outcome": outcome, "candidates": candidates, "tasks": tasks, "reason": "so"}
        self.decision = Decision.model_validate(data)

    async def decide(self, request: RoutingRequest, table: RoutingTable) -> Decision:
        return self.decision


async def told(supervisor: Supervisor, turn: Turn) -> list[TurnEvent]:
    async with asyncio.timeout(20), aclosing(checked(supervisor.respond)(turn)) as events:
        return [event async for event in events]


def holds(events: list[TurnEvent]) -> None:
    """Deltas are what messages say, in their order, as far as messages come."""
    pieces = ""
    for event in events:
        if isinstance(event, TextDelta):
            pieces += event.text
        elif isinstance(event, Answer):
            assert pieces.endswith(event.message.content)
            pieces = ""


def players(plays: list[list[TurnEvent]]) -> list[Player]:
    made = [Player(name) for name in NAMES]
    for player, events in zip(made, plays, strict=True):
        player.plays(*events)
    return made


@settings(max_examples=120, deadline=None)
@given(
    plays=st.lists(PLAYS, min_size=3, max_size=3),
    outcome=st.sampled_from(["route", "multi", "out_of_scope", "clarify"]),
    tasks=TASKS,
    fallback=FALLBACKS,
)
def test_the_router_decides(
    plays: list[list[TurnEvent]], outcome: str, tasks: list[SubTask], fallback: tuple[str, ...]
) -> None:
    async def run() -> None:
        before = asyncio.all_tasks()
        router = Deciding(outcome, tasks)
        async with Supervisor(players(plays), router, fallback=fallback) as supervisor:
            for _ in range(2):
                holds(await told(supervisor, turn_of("do it")))
        assert asyncio.all_tasks() == before

    asyncio.run(run())


CALLS = st.lists(
    st.sampled_from((*NAMES, "stranger")).map(lambda name: Call(name, {"request": "do it"})),
    max_size=3,
)


@settings(max_examples=80, deadline=None)
@given(
    plays=st.lists(PLAYS, min_size=3, max_size=3),
    rounds=st.lists(CALLS, max_size=3),
    answer=st.sampled_from(["", "So."]),
    fallback=FALLBACKS,
)
def test_a_model_plans(
    plays: list[list[TurnEvent]], rounds: list[list[Call]], answer: str, fallback: tuple[str, ...]
) -> None:
    async def run() -> None:
        before = asyncio.all_tasks()
        model = ScriptedModel(*(calls or "Hm." for calls in rounds), answer)
        async with Supervisor(
            players(plays), collaboration="supervised", model=model, fallback=fallback
        ) as supervisor:
            for _ in range(2):
                holds(await told(supervisor, turn_of("do it")))
        assert asyncio.all_tasks() == before

    asyncio.run(run())
