"""Testing agents: what a user of the package tests theirs with, and we test ours.

    from lmos.testing import Call, ScriptedModel          a model that says what a script tells it
    from lmos.testing import Cassette                     real model traffic, recorded and replayed
    async def test_it(ask): answer = await ask(agent, "how much do I owe?")

`Asking` asks agents and checks the grammar of every turn; the pytest plug-in (`plugin`) gives it to
tests as the fixture `ask`. `conversations` runs the test files beside an agent's use cases. Names
are imported on first use, so that pytest starts as fast as without the plug-in.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmos.llm.scripted import Call, Refusal, Request, Result, Say, ScriptedModel
    from lmos.model.grammar import GrammarError, checked
    from lmos.testing.asking import Answered, Asking
    from lmos.testing.cassette import Cassette, CassetteError
    from lmos.testing.clock import Clock

__all__ = [
    "Answered",
    "Asking",
    "Call",
    "Cassette",
    "CassetteError",
    "Clock",
    "GrammarError",
    "Refusal",
    "Request",
    "Result",
    "Say",
    "ScriptedModel",
    "checked",
]

_HOMES = {
    "Answered": "lmos.testing.asking",
    "Asking": "lmos.testing.asking",
    "Call": "lmos.llm.scripted",
    "Cassette": "lmos.testing.cassette",
    "CassetteError": "lmos.testing.cassette",
    "Clock": "lmos.testing.clock",
    "GrammarError": "lmos.model.grammar",
    "Refusal": "lmos.llm.scripted",
    "Request": "lmos.llm.scripted",
    "Result": "lmos.llm.scripted",
    "Say": "lmos.llm.scripted",
    "ScriptedModel": "lmos.llm.scripted",
    "checked": "lmos.model.grammar",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lmos.testing' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
