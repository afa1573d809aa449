"""What agents show to their developers: tools that can be looked at and tried, events as they come.

The original's inspector and editor speak these. They tell everything about every turn and call
tools for anybody, so they are served only with `Settings.dev`.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lmos.arc.running import Wanted, run_tools
from lmos.arc.team import Party
from lmos.arc.tools import Tool
from lmos.model import Turn, TurnEvent
from lmos.model.errors import AgentFailed, NotFound
from lmos.protocols import graphql

if TYPE_CHECKING:
    from lmos.arc.agent import Agent
    from lmos.arc.serving.settings import AnyAgent


class AgentTools:
    """The tools of the agents, for GraphQL's `tool`."""

    def __init__(self, agents: "Mapping[str, AnyAgent]") -> None:
        self._agents = agents

    def list(self) -> Sequence[graphql.Tool]:
        """All of them; of those with one name the first agent's."""
        return [
            graphql.Tool(name, tool.description, dict(tool.schema))
            for name, (_, tool) in self._tools().items()
        ]

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """What the tool gives, in a turn of nobody's."""
        found = self._tools().get(name)
        if found is None:
            raise NotFound(f"there is no tool {name!r}; there are {', '.join(self._tools())}")
        agent, tool = found
        turn = Turn(conversation_id=uuid.uuid4().hex, turn_id="tool", messages=())
        ctx = agent.engine.context(turn, agent.dependencies, _heard)
        call = Wanted(tool, name, dict(arguments))
        async for _ in run_tools(ctx, [call]):
            pass
        if call.error:
            raise AgentFailed(call.error)
        return call.said

    def _tools(self) -> "dict[str, tuple[Agent[Any, Any], Tool]]":
        found: dict[str, tuple[Agent[Any, Any], Tool]] = {}
        for agent in self._agents.values():
            if isinstance(agent, Party):
                continue  # its tools are its agents' alone
            for name, tool in agent.tools.items():
                found.setdefault(name, (agent, tool))
        return found


def _heard(event: TurnEvent) -> None:
    """Nobody listens to a tool that is tried."""
