"""MCP: tools, prompts, resources and agents for any MCP host, and any MCP server's for us.

What is served is an `Offer`, told in plain data; an agent is a tool of it that takes what the user
says (`agent_tool`). A `Face` serves it over streamable HTTP at `/mcp`, `stdio` over a process's
standard streams. The other way round `connect` gives the pooled connection to a `Server`, and
`responder` a remote agent's tool as a responder. Between two parties that both know the extension
`EXTENSION` the turn itself and each of its events ride along in `_meta`, as over A2A; towards
others only the user's message leaves the house.

The wire is the official SDK's (extra `mcp`); it is imported with the first use.
"""

from lmos.protocols.mcp.agents import agent_tool
from lmos.protocols.mcp.client import Connection, close_all, connect
from lmos.protocols.mcp.codec import EXTENSION
from lmos.protocols.mcp.offer import (
    Annotations,
    Argument,
    Caller,
    Offer,
    Prompt,
    Resource,
    Result,
    Tool,
)
from lmos.protocols.mcp.remote import ClientCredentials, RemotePrompt, RemoteTool, Server
from lmos.protocols.mcp.responder import responder
from lmos.protocols.mcp.server import Face, stdio

__all__ = [
    "EXTENSION",
    "Annotations",
    "Argument",
    "Caller",
    "ClientCredentials",
    "Connection",
    "Face",
    "Offer",
    "Prompt",
    "RemotePrompt",
    "RemoteTool",
    "Resource",
    "Result",
    "Server",
    "Tool",
    "agent_tool",
    "close_all",
    "connect",
    "responder",
    "stdio",
]
