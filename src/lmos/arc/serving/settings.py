"""How agents are served, where it is not told by the agents themselves."""

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from starlette.types import ASGIApp

from lmos.protocols.auth import Auth

if TYPE_CHECKING:
    from lmos.arc.agent import Agent
    from lmos.arc.team import Party

    AnyAgent: TypeAlias = Agent[Any, Any] | Party

#: Says why something that the agents need is not there at the moment; empty when it is.
Check = Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Cors:
    """Which pages of other origins may ask from a browser. Credentials are never cookies."""

    origins: tuple[str, ...] = ("*",)
    methods: tuple[str, ...] = ("GET", "POST")
    headers: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True)
class Settings:
    """How agents are served.

    `auth` says who may ask; without it everybody may. `cors` lets pages of other origins ask.
    `metrics` is mounted at `/metrics`. `checks` are asked, by name, when somebody wants to know
    whether the process is ready. `grpc` is the address of A2A over gRPC, as
    `host:port`; port 0 picks one, and the cards tell which. `dev` opens what only developers should
    see: tools to try and events of all turns over GraphQL, and the check of use cases.
    """

    auth: Auth | None = None
    cors: Cors | None = None
    metrics: ASGIApp | None = None
    checks: Mapping[str, Check] = field(default_factory=dict)
    grpc: str = ""
    dev: bool = False

    @property
    def schemes(self) -> tuple[str, ...]:
        """The kinds of credentials that are accepted."""
        return self.auth.schemes if self.auth else ()


def supervised() -> bool:
    """Whether this process was started by one that looks after it, and ends it when it must."""
    return bool(os.environ.get("NOTIFY_SOCKET"))
