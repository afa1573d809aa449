"""What watching a turn costs: nothing when nobody watches, and how much when somebody does.

    python bench/observing.py [--rounds 60]

A plain turn of an agent whose model answers at once, asked again and again: unwatched, followed by
the metrics, and with spans that are thrown away at their end. `hooks_us` is the time of all that an
unwatched turn does for being watched, measured by itself, and `hooks_percent` its share of a turn.
Microseconds of processor time, the least of the rounds: other work on the machine adds to a round
and never takes from it. Prints JSON.
"""

import argparse
import asyncio
import itertools
import json
import time
import timeit
from collections.abc import AsyncIterator
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from pydantic_ai.models.function import FunctionModel

from lmos import Agent
from lmos.arc import observing
from lmos.arc.observing.unwatched import UNWATCHED
from lmos.arc.observing.watch import watch_of
from lmos.model import Message, Turn

TURNS = 25


async def said(messages: Any, info: Any) -> AsyncIterator[str]:
    for word in ("Your ", "bill ", "is ", "42.50 ", "EUR."):
        yield word


async def turns(agent: Agent, numbers: "itertools.count[int]") -> float:
    """Microseconds of processor time a turn."""
    began = time.process_time()
    for _ in range(TURNS):
        number = str(next(numbers))
        messages = (Message(role="user", content="What do I owe?"),)
        turn = Turn(conversation_id=number, turn_id=number, messages=messages)
        async for _ in agent.respond(turn):
            pass
    return (time.process_time() - began) / TURNS * 1e6


def hooks() -> None:
    """All that an unwatched plain turn does for being watched."""
    watch_of(None)  # type: ignore[arg-type]
    with UNWATCHED.agent(None):
        UNWATCHED.continued(None)  # type: ignore[arg-type]
        with UNWATCHED.stage("filter input"):
            pass
        with UNWATCHED.stage("generate response"):
            with UNWATCHED.stage("generate system prompt"):
                pass
            UNWATCHED.shown("system prompt", "")
            _ = UNWATCHED.on
        with UNWATCHED.stage("filter output"):
            pass
        UNWATCHED.answered("", "")


async def main(rounds: int) -> dict[str, float]:
    agent = Agent(name="bills", model=FunctionModel(stream_function=said, model_name="none"))
    numbers, found = itertools.count(), {"off": [0.0], "metrics": [0.0], "spans": [0.0]}
    for times in found.values():
        times.clear()
    await turns(agent, numbers)
    share = min(timeit.repeat(hooks, number=1000, repeat=rounds)) / 1000 * 1e6
    for _ in range(rounds):
        found["off"].append(await turns(agent, numbers))
    observing.metrics.begin()
    for _ in range(rounds):
        found["metrics"].append(await turns(agent, numbers))
    observing.metrics.end()
    trace.set_tracer_provider(TracerProvider())
    for _ in range(rounds):
        found["spans"].append(await turns(agent, numbers))
    least = {f"{name}_us": round(min(times), 1) for name, times in found.items()}
    percent = round(100 * share / least["off_us"], 2)
    return {**least, "hooks_us": round(share, 2), "hooks_percent": percent}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=60)
    print(json.dumps(asyncio.run(main(parser.parse_args().rounds)), indent=2))
