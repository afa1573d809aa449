"""LMOS: the Language Model Operating System in one package.

The rooms, from the ground up (imports flow downward only, see docs/architecture.md):

    model                                            nouns, errors and the three seams
    llm | resolver                                   models behind a spec string; pure decisions
    router | protocols | store | state | manifests   mechanisms, independent of each other
    arc | registry | runtime | controlplane          components, which meet through the seams
    console, local, testing, cli                     the page, `lmos up`, tests, the commands

What most people need is here: ``from lmos import Agent, Context``. Names are imported on first
use, so that ``import lmos`` itself costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmos.arc import Agent, Context
    from lmos.model import Message, Turn, TurnEvent
    from lmos.runtime import Supervisor

__version__ = "0.1.0"

__all__ = ["Agent", "Context", "Message", "Supervisor", "Turn", "TurnEvent", "__version__"]

_HOMES = {
    "Agent": "lmos.arc",
    "Context": "lmos.arc",
    "Message": "lmos.model",
    "Supervisor": "lmos.runtime",
    "Turn": "lmos.model",
    "TurnEvent": "lmos.model",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lmos' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
