"""Whether the process lives, and whether it can answer now."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from lmos.arc.serving.settings import Check
from lmos.protocols import http

if TYPE_CHECKING:
    from lmos.arc.serving.settings import AnyAgent

LIVE, READY, HEALTH = "/health/live", "/health/ready", "/health"
PATHS = (HEALTH, LIVE, READY)
#: Seconds that a check may take.
PATIENCE = 2.0


class Health:
    """Ready means: every agent has started, none is stopping, and all checks pass. Nothing is said
    of what an agent is configured with, and no model is asked: that costs, and a model that is
    away for a minute is no reason to end a process.
    """

    def __init__(self, agents: Sequence["AnyAgent"], checks: Mapping[str, Check]) -> None:
        self.started = False
        self.leaving = asyncio.Event()
        self._agents = agents
        self._checks = checks

    def routes(self) -> list[BaseRoute]:
        """`/health/live`, `/health/ready`, and `/health`, which is the same as ready."""
        return [
            Route(LIVE, self.live, methods=["GET"]),
            Route(READY, self.ready, methods=["GET"]),
            Route(HEALTH, self.ready, methods=["GET"]),
        ]

    async def live(self, request: Request) -> Response:
        """200 as long as anything is answered at all."""
        return http.json_response({"status": "UP", "ok": True})

    async def ready(self, request: Request) -> Response:
        """200, or 503 with the problems by name."""
        problems = await self._problems()
        body: dict[str, Any] = {
            "status": "DOWN" if problems else "UP",
            "ok": not problems,
            "agents": [{"name": a.name, "version": a.version} for a in self._agents],
        }
        if len(self._agents) == 1:
            body |= {"agent": self._agents[0].name, "version": self._agents[0].version}
        if problems:
            body["problems"] = problems
        return http.json_response(body, 503 if problems else 200, {"cache-control": "no-store"})

    async def _problems(self) -> dict[str, str]:
        if not self.started or self.leaving.is_set():
            return {"agents": "stopping" if self.started else "not started"}
        said = await asyncio.gather(*(_asked(check) for check in self._checks.values()))
        return {name: text for name, text in zip(self._checks, said, strict=True) if text}


async def _asked(check: Check) -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            return await check()
    except TimeoutError:
        return f"no answer within {PATIENCE:g} s"
    except Exception as error:
        return f"the check failed: {type(error).__name__}"
