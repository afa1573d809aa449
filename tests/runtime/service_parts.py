"""`lmos runtime` as a process of the tests' own, and what it is told."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from lmos.protocols import http

LMOS = [sys.executable, "-m", "lmos", "runtime"]


def original(url: str) -> str:
    """The original's file, for one agent at the URL."""
    capability = {
        "id": "view_bill", "name": "view-bill", "description": "The customer wants to see a bill",
        "requiredVersion": ">=1.0.0", "providedVersion": "1.0.0",
        "host": url.removeprefix("http://"),
    }  # fmt: skip
    group = {"id": "b", "name": "billing", "description": "Bills", "capabilities": [capability]}
    labels = {"tenant": "acme", "channel": "web", "subset": "stable", "version": "1.0.0"}
    item = {"metadata": {"name": "acme-web", "labels": labels}}
    return yaml.safe_dump({"channelRoutings": [{**item, "spec": {"capabilityGroups": [group]}}]})


class Process:
    """The command, running."""

    def __init__(self, directory: Path, *options: str, **environment: str) -> None:
        self.log = directory / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*LMOS, "--port", "0", "--state", "memory", *options],
                cwd=directory,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            )

    async def url(self) -> str:
        """Where it says that it is, once it is ready."""
        async with asyncio.timeout(30), aiohttp.ClientSession() as session:
            while not (told := re.search(r"(http\S+)/apis/v1 ", self.log.read_text())):
                assert self.process.poll() is None, self.log.read_text()
                await asyncio.sleep(0.02)
            url = told[1]
            while True:
                async with session.get(f"{url}/health/ready") as response:
                    if response.status == 200:
                        return url
                await asyncio.sleep(0.02)

    async def ended(self) -> int:
        async with asyncio.timeout(20):
            return await asyncio.to_thread(self.process.wait)


@asynccontextmanager
async def running(directory: Path, *options: str, **environment: str) -> AsyncIterator[Process]:
    process = Process(directory, *options, **environment)
    try:
        yield process
    finally:
        process.process.kill()
        process.process.wait()
        await http.close_session()


def said(text: str) -> dict[str, Any]:
    return {
        "inputContext": {"messages": [{"role": "user", "content": text}]},
        "systemContext": {"channelId": "web"},
        "userContext": {"userId": "alice"},
    }
