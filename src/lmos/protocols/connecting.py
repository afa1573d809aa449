"""Agents by their address: a responder for whatever protocol it offers."""

import sys
from functools import lru_cache

from lmos.model import AgentAddress, Responder, errors
from lmos.protocols import http


def connect(address: AgentAddress) -> Responder:
    """The responder behind an address; one is kept for each."""
    return _connected(address.url, address.protocol)


async def disconnect() -> None:
    """Closes what the running event loop has open to others. It may ask them again afterwards."""
    if "lmos.protocols.mcp.client" in sys.modules:
        from lmos.protocols import mcp

        await mcp.close_all()
    await http.close_session()


@lru_cache(maxsize=4096)
def _connected(url: str, protocol: str) -> Responder:
    match protocol:
        case "a2a":
            from lmos.protocols import a2a

            return a2a.responder(url)
        case "openai":
            from lmos.protocols import openai

            return openai.responder(url)
        case "agui":
            from lmos.protocols import agui

            return agui.responder(url)
        case "graphql":
            from lmos.protocols import graphql

            return graphql.responder(url)
        case "lmos":
            from lmos.protocols import lmos

            return lmos.responder(url)
        case "mcp":
            from lmos.protocols import mcp

            return mcp.responder(url)
    raise errors.AgentFailed(
        f"the agent at {url} speaks {protocol!r}; this runtime speaks a2a, agui, graphql, "
        "lmos, mcp and openai"
    )
