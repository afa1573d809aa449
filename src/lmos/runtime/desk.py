"""Where people find the conversations that were handed to them, and give them back.

GET  /apis/v1/tenants/{tenant}/channels/{channel}/humans                             who waits
POST /apis/v1/tenants/{tenant}/channels/{channel}/humans/{conversation}/release      done
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lmos.model import Model, errors
from lmos.protocols import http, limits
from lmos.runtime.humans import Humans

HUMANS = "/apis/v1/tenants/{tenant}/channels/{channel}/humans"
#: Characters of what people may have told the user.
SAID = 100_000


class Release(Model):
    """The body of a release: what the user was told, to be remembered in the conversation."""

    said: str = ""


def routes(humans: Humans) -> list[Route]:
    """Everything of this module, to be put into an application."""
    desk = _Desk(humans)
    return [
        Route(HUMANS, desk.waiting, methods=["GET"]),
        Route(HUMANS + "/{conversation:path}/release", desk.release, methods=["POST"]),
    ]


class _Desk:
    def __init__(self, humans: Humans) -> None:
        self._humans = humans

    async def waiting(self, request: Request) -> Response:
        path = request.path_params
        found = await self._humans.waiting(path["tenant"], path["channel"])
        return http.json_response({"humans": [held.wire() for held in found]})

    async def release(self, request: Request) -> Response:
        path = request.path_params
        body = limits.parsed(Release, await http.read_json(request))
        if len(body.said) > SAID:
            raise errors.TooLarge(f"said is longer than {SAID} characters")
        held = await self._humans.release(
            path["tenant"], path["channel"], path["conversation"], body.said.strip()
        )
        return http.json_response(held.wire())
