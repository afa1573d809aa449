"""Features that are switched on and off while agents run, through OpenFeature.

Whatever provider the process has set answers. Where it has set none, the application says in the
system context what is on: `feature_NAME`.
"""

import importlib.util
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from lmos.model import Turn, errors

V = TypeVar("V", bool, str, int, float)
A = TypeVar("A")

#: In the system context, before a feature's name.
PREFIX = "feature_"
#: Parts of names whose values no provider is told.
_PRIVATE = ("key", "secret", "token", "password")


async def value(turn: Turn, agent: str, name: str, default: V) -> V:
    """The feature's value in the turn, of the type of its default; the default where nobody says or
    what is said is of another type.
    """
    client = _client()
    if client is None:
        return _said(turn.system_context.get(PREFIX + name), default)
    ask = {
        bool: client.get_boolean_value_async,
        str: client.get_string_value_async,
        int: client.get_integer_value_async,
        float: client.get_float_value_async,
    }[type(default)]
    found: V = await ask(name, default, _context(turn, agent))
    return found


async def active(agents: Sequence[A], turn: Turn) -> A:
    """Who answers where nobody is named: the first whose `features` are all on, else the first that
    depends on none. `AgentNotFound` when all depend on features that are off.
    """
    for agent in agents:
        flags = _flags(agent)
        if flags and await _all_on(flags, turn, getattr(agent, "name", "")):
            return agent
    for agent in agents:
        if not _flags(agent):
            return agent
    names = ", ".join(str(getattr(agent, "name", agent)) for agent in agents)
    raise errors.AgentNotFound(f"no agent answers: the features of {names} are off")


async def _all_on(flags: Iterable[str], turn: Turn, agent: str) -> bool:
    for flag in sorted(flags):
        if not await value(turn, agent, flag, False):
            return False
    return True


def _flags(agent: Any) -> frozenset[str]:
    return getattr(agent, "features", frozenset())


def _client() -> Any:
    """OpenFeature's client, None where no provider is set."""
    if importlib.util.find_spec("openfeature") is None:
        return None
    from openfeature import api
    from openfeature.provider.no_op_provider import NoOpProvider

    client = api.get_client("lmos")
    return None if isinstance(client.provider, NoOpProvider) else client


def _context(turn: Turn, agent: str) -> Any:
    from openfeature.evaluation_context import EvaluationContext

    told = {"agent": agent, "tenant": turn.tenant, "channel": turn.channel}
    told |= {f"system_{k}": v for k, v in turn.system_context.items() if not _private(k)}
    told |= {f"user_{k}": v for k, v in turn.user.profile.items() if not _private(k)}
    return EvaluationContext(turn.user.id or turn.conversation_id, {**told})


def _private(name: str) -> bool:
    return any(part in name.lower() for part in _PRIVATE)


def _said(text: str | None, default: V) -> V:
    if text is None:
        return default
    if isinstance(default, bool):
        return text.lower() == "true"
    try:
        return type(default)(text)
    except ValueError:
        return default
