"""Tools that come from elsewhere and may change while an agent runs."""

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from lmos.arc.tools import Tool
from lmos.model import LmosError

log = logging.getLogger(__name__)


@runtime_checkable
class ToolSource(Protocol):
    """Something that has tools for an agent. It is asked in every turn, so it remembers them."""

    @property
    def label(self) -> str:
        """What its tools are prefixed with where another has one of that name."""
        ...

    async def tools(self) -> Sequence[Tool]:
        """The tools that it has now. `LmosError` when that cannot be said."""
        ...

    async def close(self) -> None:
        """Releases what it holds for its agent; it may be asked again afterwards."""
        ...


async def gathered(
    own: Mapping[str, Tool], sources: Sequence[ToolSource]
) -> tuple[dict[str, Tool], bool]:
    """The agent's own tools and those of the sources, in their order; `label_name` for a name that
    is taken. A source that cannot say is left out, and the agent goes on with the rest; whether
    all could say comes second.
    """
    found, complete = dict(own), True
    for source in sources:
        try:
            tools = await source.tools()
        except LmosError as error:
            log.warning("tools of %s are missing: %s", source.label, error.message)
            complete = False
            continue
        for tool in tools:
            name = tool.name if tool.name not in found else f"{source.label}_{tool.name}"
            if name in found:
                log.warning("%s has two tools named %s; one is left out", source.label, name)
                continue
            found[name] = tool if name == tool.name else tool.named(name)
    return found, complete
