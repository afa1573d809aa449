"""`/.well-known/agent.json`: the card as it was before 1.0, which the original and its view read.

For one agent it is today's card with the fields of then beside it. Several agents in one process
share one, named `multi-agent`, with the skills of all.
"""

from collections.abc import Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lmos.model import Description
from lmos.protocols import http
from lmos.protocols.a2a import card

PATH = "/.well-known/agent.json"


def extended(found: dict[str, Any]) -> dict[str, Any]:
    """Today's card with `url` and the capabilities of then."""
    interfaces = found["supportedInterfaces"]
    return found | {
        "url": interfaces[0]["url"] if interfaces else "",
        "capabilities": found["capabilities"] | {"stateTransitionHistory": False},
    }


def route(descriptions: Callable[[], Sequence[Description]], prefix: str = "") -> Route:
    """`GET {prefix}/.well-known/agent.json` for several agents together."""

    async def get(request: Request) -> Response:
        return http.json_response(shared(descriptions()))

    return Route(prefix + PATH, get, methods=["GET"])


def shared(descriptions: Sequence[Description]) -> dict[str, Any]:
    """One card of several agents. It has no interface: each agent has a card of its own."""
    return {
        "name": "multi-agent",
        "description": f"Multiple Agents: {', '.join(d.name for d in descriptions)}",
        "url": "",
        "version": "1.0.0",
        "capabilities": {
            "streaming": True,
            "pushNotifications": False,
            "stateTransitionHistory": False,
        },
        "defaultInputModes": ["text"],
        "defaultOutputModes": ["text"],
        "skills": [skill for d in descriptions for skill in card.skills(d)],
    }
