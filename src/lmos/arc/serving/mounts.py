"""Protocols that come with an extra, served where it is installed.

Each offers a function `agent_routes(agents)` in its package: given the agents by name it makes the
routes for all of them. `needs` is the module by which the extra is known to be there; it is looked
for without importing it, so a process without the extra pays nothing.
"""

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute

if TYPE_CHECKING:
    from lmos.arc.agent import Agent


@dataclass(frozen=True, slots=True)
class Mount:
    """A protocol: the module that offers `agent_routes`, and what it cannot do without."""

    module: str
    needs: str


MOUNTS = (
    Mount("lmos.protocols.graphql", needs="graphql"),
    Mount("lmos.protocols.agui", needs="ag_ui"),
    Mount("lmos.protocols.mcp", needs="mcp"),
)


def routes(agents: Mapping[str, "Agent"]) -> list[BaseRoute]:
    """The routes of every protocol that is there."""
    return [
        route
        for mount in MOUNTS
        if _there(mount)
        for route in importlib.import_module(mount.module).agent_routes(agents)
    ]


def _there(mount: Mount) -> bool:
    return all(importlib.util.find_spec(name) is not None for name in (mount.module, mount.needs))
