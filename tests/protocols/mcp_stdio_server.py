"""An MCP server on standard streams, and one over HTTP, as processes of their own.

`python mcp_stdio_server.py` or `python mcp_stdio_server.py PORT`.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette

from lmos.protocols.mcp import Caller, Face, Offer, Result, Tool, stdio

NOTHING: dict[str, Any] = {"type": "object", "properties": {}}


async def echo(caller: Caller, arguments: Mapping[str, Any]) -> Result:
    print("a line that must not get between the messages")
    return Result((f"{os.environ.get('GREETING', '')}{arguments['text']}",))


async def pid(caller: Caller, arguments: Mapping[str, Any]) -> Result:
    return Result((str(os.getpid()),))


async def die(caller: Caller, arguments: Mapping[str, Any]) -> Result:
    os._exit(9)


async def sleep(caller: Caller, arguments: Mapping[str, Any]) -> Result:
    await caller.progress(1, message="asleep")
    await asyncio.Event().wait()
    return Result()


ECHO = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
OFFER = Offer(
    "parts",
    "1.0.0",
    tools=[
        Tool("echo", "Says it again.", ECHO, echo),
        Tool("pid", "Tells its process.", NOTHING, pid),
        Tool("die", "Ends its process.", NOTHING, die),
        Tool("sleep", "Never ends.", NOTHING, sleep),
    ],
)


def serve(port: int) -> None:
    face = Face(OFFER)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None, None]:
        async with face.running():
            print("ready", flush=True)
            yield

    app = Starlette(routes=face.routes(), lifespan=lifespan)
    listener = socket.create_server(("127.0.0.1", port))  # before anybody hears that it is ready
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run([listener])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(int(sys.argv[1]))
    else:
        asyncio.run(stdio(OFFER))
