"""Asking an agent in a test: turns with known ids, their grammar checked, and what came of them."""

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, fields
from typing import Any

from lmos.arc import Agent
from lmos.arc.guide import TOOL as CHOOSING
from lmos.arc.result import Result, collected
from lmos.arc.team import Answering
from lmos.model import (
    Failed,
    Message,
    Responder,
    Started,
    ToolCall,
    ToolResult,
    Turn,
    TurnEvent,
    User,
)
from lmos.model.grammar import checked


@dataclass(frozen=True)
class Called:
    """The calls of a tool that were looked for: true when there are some. It says what was called
    where an assertion fails.
    """

    wanted: str
    found: tuple[ToolCall, ...]
    all: tuple[ToolCall, ...]

    def __bool__(self) -> bool:
        return bool(self.found)

    def __len__(self) -> int:
        return len(self.found)

    def __repr__(self) -> str:
        there = ", ".join(_written(call.name, call.arguments) for call in self.all) or "nothing"
        return f"<{self.wanted}: {len(self.found)} calls; called: {there}>"


@dataclass(frozen=True)
class Answered(Result[Any]):
    """What came of a turn in a test: a `Result` that can be asked about the tools."""

    agent: str = ""
    #: The values of parameters that were not given, by tool.
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls of the agent's tools; how a model takes its use case is in `use_case`."""
        return tuple(e for e in self.events if isinstance(e, ToolCall) and e.name != CHOOSING)

    def called(self, tool: str, **arguments: Any) -> Called:
        """The calls of the tool with these arguments among theirs. What a call leaves out has the
        value that the tool declares.
        """
        known = self.defaults.get(tool, {})
        found = [
            call
            for call in self.calls
            if call.name == tool and _fits({**known, **call.arguments}, arguments)
        ]
        return Called(_written(tool, arguments), tuple(found), self.calls)

    def result_of(self, tool: str) -> str:
        """What the tool gave back last, as text. `KeyError` when it gave nothing back."""
        found = [e for e in self.events if isinstance(e, ToolResult) and e.name == tool]
        if not found:
            raise KeyError(f"{tool} was not called; {self.called(tool)!r}")
        return found[-1].error or found[-1].result

    @property
    def tools(self) -> list[str]:
        """The names of the tools that were called, in their order."""
        return [call.name for call in self.calls]

    @property
    def unresolved(self) -> bool:
        """Whether the agent says that it cannot help."""
        return (
            self.context.get("unresolved") == "true"
            or self.context.get("classification") == "UNRESOLVED"
        )


class Asking:
    """Asks agents. Questions to one agent belong to one conversation unless another is named.

    Ids are counted, so that they are the same in every run. The grammar of each turn's events is
    checked; what fails in a turn is raised.
    """

    def __init__(self, name: str = "test") -> None:
        self._name = name
        self._turns = 0
        self._started: list[Any] = []
        self._copies: dict[tuple[int, Any], tuple[Any, Agent[Any, Any]]] = {}

    async def __call__(
        self,
        agent: "Answering | Responder",
        text: str,
        *,
        model: Any = None,
        conversation: str = "",
        user: str | User = "",
        tenant: str = "",
        channel: str = "",
        context: Mapping[str, str] | None = None,
    ) -> Answered:
        """The answer of an agent, a team, a chain, or any responder. `model` answers in place of
        the agent's own: a spec, a pydantic-ai model, or a scripted one.
        """
        if model is not None:
            agent = self._answering_with(agent, model)
        name = getattr(agent, "name", "responder")
        self._turns += 1
        turn = Turn(
            tenant=tenant,
            channel=channel,
            conversation_id=f"{self._name}/{conversation or name}",
            turn_id=f"{self._name}/{self._turns}",
            user=user if isinstance(user, User) else User(id=user),
            messages=(Message(role="user", content=text),),
            system_context=dict(context or {}),
        )
        return await self.turn(agent, turn)

    async def turn(self, agent: "Answering | Responder", turn: Turn) -> Answered:
        """The answer to a turn as it is given."""
        respond: Any = getattr(agent, "responder", agent)
        if hasattr(agent, "stop") and agent not in self._started:
            self._started.append(agent)
        events: list[TurnEvent] = []
        async with aclosing(checked(respond)(turn)) as coming:
            async for event in coming:
                if isinstance(event, Failed):
                    raise event.exception()
                events.append(event)
        result = collected(events)
        output = getattr(agent, "output", None)
        if output is not None and not (result.question or result.handover):
            result = result.typed(output.said(result.text))
        given = {f.name: getattr(result, f.name) for f in fields(result)}
        first = events[0]
        answered_by = first.agent if isinstance(first, Started) else ""
        return Answered(**given, agent=answered_by, defaults=_defaults(agent))

    async def stop(self) -> None:
        """Stops every agent that was asked."""
        started, self._started = self._started, []
        for agent in started:
            await agent.stop()

    def _answering_with(self, agent: Any, model: Any) -> Any:
        """The agent with another model, the same one each time."""
        key = (id(agent), model if isinstance(model, str) else id(model))
        if key not in self._copies:
            other = agent.with_model(getattr(model, "model", model))
            self._copies[key] = ((agent, model), other)  # ids live as long as what they are of
        return self._copies[key][1]


def _defaults(agent: Any) -> dict[str, dict[str, Any]]:
    tools = getattr(agent, "tools", None) or {}
    return {
        name: {p.name: p.default for p in tool.parameters if not p.required}
        for name, tool in tools.items()
    }


def _fits(given: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(
        name in given and (given[name] == value or str(given[name]) == str(value))
        for name, value in wanted.items()
    )


def _written(name: str, arguments: Mapping[str, Any]) -> str:
    return f"{name}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})"
