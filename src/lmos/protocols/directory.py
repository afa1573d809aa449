"""The agents that an endpoint offers by name, for protocols whose caller picks one."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from lmos.model import Responder
from lmos.model.errors import AgentNotFound


class Directory(Protocol):
    """Agents by name."""

    def names(self) -> Sequence[str]:
        """Their names, the one that answers by default first."""
        ...

    def responder(self, name: str | None) -> Responder:
        """The agent of that name, the first one for None; `AgentNotFound` when there is none."""
        ...


class _Several:
    def __init__(
        self, responders: Mapping[str, Responder], default: Responder | None = None
    ) -> None:
        self._responders = responders
        self._default = default

    def names(self) -> Sequence[str]:
        return list(self._responders)

    def responder(self, name: str | None) -> Responder:
        names = self.names()
        if name is None and self._default is not None:
            return self._default
        if name is None and names:
            return self._responders[names[0]]
        if name is None or name not in self._responders:
            asked = "an agent" if name is None else f"agent {name!r}"
            raise AgentNotFound(f"{asked} was asked for; here are {', '.join(names) or 'none'}")
        return self._responders[name]


def several(responders: Mapping[str, Responder], default: Responder | None = None) -> Directory:
    """The responders by name; the mapping may change while it is served. `default` answers where
    none is named, else the first of them.
    """
    return _Several(responders, default)


def one(name: str, responder: Responder) -> Directory:
    """One responder as the only agent."""
    return _Several({name: responder})
