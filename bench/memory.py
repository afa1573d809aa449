"""Whether many conversations take more and more of the process's memory. They should not.

    python bench/memory.py [--conversations 10000] [--turns 20] [--state sqlite]

An agent with a scripted model that answers at once holds the conversations, fifty at a time, each
of a user of its own. Every turn reads and writes the conversation's history, counts in the
conversation's memory and in the user's. `--state` is a spec as `Agent(memory=...)` takes it;
`sqlite` is a file in a temporary directory. Prints JSON: the process's resident memory in MiB after
a warm-up of a twentieth and then after each tenth, the growth since the warm-up, and turns per
second. `memory`, which keeps conversations in the process, is there to see the difference.
"""

import argparse
import asyncio
import gc
import json
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
from pydantic_ai.models.function import FunctionModel

from lmos import Agent, Context
from lmos.model import Message, Turn, User

AT_ONCE = 50
ANSWER = "Your latest bill is 42.50 EUR, due on 1 December. " * 4
PROCESS = psutil.Process()


async def say(messages: Any, info: Any) -> AsyncIterator[str]:
    yield ANSWER


def agent(memory: str) -> Agent:
    made = Agent(name="bench", model=FunctionModel(stream_function=say), memory=memory)

    @made.input_filter
    async def count(ctx: Context, text: str) -> None:
        for scope in ("conversation", "user"):
            await ctx.memory.update("turns", lambda n: n + 1, 0, scope=scope)

    return made


def turn(conversation: int, n: int) -> Turn:
    text = f"and what about bill {n} of conversation {conversation}, please? " * 3
    return Turn(
        tenant="acme",
        channel="web",
        conversation_id=f"conversation-{conversation}",
        turn_id=f"{conversation}-{n}",
        user=User(id=f"user-{conversation}"),
        messages=(Message(role="user", content=text),),
    )


async def talk(asked: Agent, conversation: int, turns: int) -> None:
    for n in range(turns):
        async for _ in asked.respond(turn(conversation, n)):
            pass


async def hold(asked: Agent, conversations: range, turns: int) -> None:
    waiting = iter(conversations)

    async def worker() -> None:
        for conversation in waiting:
            await talk(asked, conversation, turns)

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))


def resident() -> float:
    gc.collect()
    return round(PROCESS.memory_info().rss / 2**20, 1)


async def measured(spec: str, conversations: int, turns: int) -> dict[str, Any]:
    asked = agent(spec)
    warm_up = max(AT_ONCE, conversations // 20)
    await hold(asked, range(-warm_up, 0), turns)
    figures, began = [resident()], time.perf_counter()
    for tenth in range(10):
        part = range(tenth * conversations // 10, (tenth + 1) * conversations // 10)
        await hold(asked, part, turns)
        figures.append(resident())
    seconds = time.perf_counter() - began
    last = await asked.engine.history.past(turn(conversations - 1, 0))
    await asked.stop()
    return {
        "state": spec.partition(":")[0],
        "conversations": conversations,
        "turns": turns,
        "messages_of_the_last": len(last.messages),
        "rss_mib": figures,
        "growth_mib": round(max(figures[1:]) - figures[0], 1),
        "turns_per_s": round(conversations * turns / seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--conversations", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--state", default="sqlite")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "bench.db"
        spec = f"sqlite:{file}" if given.state == "sqlite" else given.state
        found = asyncio.run(measured(spec, given.conversations, given.turns))
        if file.exists():
            found["file_mib"] = round(file.stat().st_size / 2**20, 1)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
