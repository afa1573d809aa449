"""Who asks, and what they hold the answers against."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import aiohttp
from parts import OWE, STORY, VERSIONS

#: Seconds that a turn may take, and after which a caller who has heard nothing gives up.
TURN, LOST = 12.0, 25.0
#: Turns of a conversation, how often one that failed is sent again, and after how many seconds.
TURNS, TRIES, PAUSE = 8, 8, 0.5
_numbers = count()


@dataclass
class Figures:
    """What came of the turns of a phase."""

    answered: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    given_up: int = 0

    def shown(self) -> dict[str, Any]:
        took = sorted(self.answered)
        return {
            "answered": len(took),
            "p50_ms": round(_part(took, 0.5) * 1000),
            "p99_ms": round(_part(took, 0.99) * 1000),
            "errors": dict(self.refused),
            "given_up": self.given_up,
        }

    def p(self, part: float) -> float:
        return _part(sorted(self.answered), part)


def _part(ordered: Sequence[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


@dataclass
class Callers:
    """Callers of several runtimes. What must never happen is put into `violations`."""

    session: aiohttp.ClientSession
    runtimes: Sequence[str]
    figures: Figures = field(default_factory=Figures)
    violations: list[str] = field(default_factory=list)

    def phase(self) -> Figures:
        """Begins to count anew."""
        self.figures = Figures()
        return self.figures

    def violated(self, text: str) -> None:
        if len(self.violations) < 50:
            self.violations.append(text)

    # --- one after the other in conversations -----------------------------------------------------

    async def converse(self, stop: asyncio.Event) -> None:
        """One conversation after the other."""
        while not stop.is_set():
            number = next(_numbers)
            subset = "canary" if number % 4 == 0 else "stable"
            conversation = Conversation(f"c{number}", subset)
            for _ in range(TURNS):
                if stop.is_set():
                    return
                await self._say(conversation)

    async def _say(self, conversation: "Conversation") -> None:
        """One turn, sent again with its id, to another runtime, while it fails."""
        number = next(_numbers)
        token = f"t{number}"
        for attempt in range(TRIES):
            url = self.runtimes[(number + attempt) % len(self.runtimes)]
            body = await self.ask(url, conversation.name, conversation.subset, token)
            if body is not None:
                for text in conversation.check(token, body):
                    self.violated(text)
                return
            await asyncio.sleep(PAUSE)
        conversation.unsure.add(token)
        self.figures.given_up += 1

    # --- at a rate --------------------------------------------------------------------------------

    async def arrive(self, rate: float, seconds: float) -> None:
        """So many turns a second, each of a conversation of its own, whatever becomes of them."""
        began = time.perf_counter()
        async with asyncio.TaskGroup() as turns:
            for number in range(int(rate * seconds)):
                await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
                turns.create_task(self._arrived(number))

    async def _arrived(self, number: int) -> None:
        conversation = Conversation(f"c{next(_numbers)}", "stable")
        token = f"t{next(_numbers)}"
        url = self.runtimes[number % len(self.runtimes)]
        body = await self.ask(url, conversation.name, conversation.subset, token)
        for text in conversation.check(token, body) if body else ():
            self.violated(text)

    # --- one turn ---------------------------------------------------------------------------------

    async def ask(
        self, url: str, conversation: str, subset: str, token: str
    ) -> dict[str, Any] | None:
        """The answer, or None after an error that the caller was told."""
        figures, began = self.figures, time.perf_counter()
        try:
            async with asyncio.timeout(LOST):
                status, body = await self._posted(url, conversation, subset, token)
        except TimeoutError:
            self.violated(f"{token} of {conversation} was lost: nothing came for {LOST:g} s")
            return None
        except aiohttp.ClientError as error:  # the runtime itself was killed
            figures.refused[type(error).__name__] += 1
            return None
        if status == 200:
            figures.answered.append(time.perf_counter() - began)
            return body
        figures.refused[f"{status} {body.get('errorCode')}"] += 1
        if not body.get("errorCode") or not body.get("message"):
            self.violated(f"{token} got {status} without saying why: {body}")
        return None

    async def _posted(
        self, url: str, conversation: str, subset: str, token: str
    ) -> tuple[int, dict[str, Any]]:
        said = said_of(OWE, token=token)
        headers = {"x-turn-id": token, "x-subset": subset, "x-turn-timeout": str(TURN)}
        path = f"{url}/apis/v1/acme/chat/{conversation}/message"
        async with self.session.post(path, json=said, headers=headers) as response:
            if response.status == 429 and "retry-after" not in response.headers:
                self.violated(f"{token} was refused without Retry-After")
            return response.status, await response.json(content_type=None)


def said_of(text: str, **context: str) -> dict[str, Any]:
    params = [{"key": key, "value": value} for key, value in context.items()]
    return {
        "inputContext": {"messages": [{"role": "user", "content": text}]},
        "systemContext": {"channelId": "web", "contextParams": params},
    }


@dataclass
class Conversation:
    """What a caller knows of its conversation. Turns that were given up, and are `unsure`, may
    have been remembered or not; every other one must have been, once and in its place.
    """

    name: str
    subset: str
    answered: list[str] = field(default_factory=list)
    unsure: set[str] = field(default_factory=set)

    def check(self, token: str, body: dict[str, Any]) -> list[str]:
        """What is wrong with the answer to the turn; it is then one of those answered."""
        found = []
        _, version, conversation, said = body["content"].split()
        if (conversation, said) != (self.name, token):
            found.append(f"{self.name} got the answer of {conversation} to {said}, not {token}")
        if version != VERSIONS[self.subset]:
            found.append(f"{self.name} of {self.subset} was answered by version {version}")
        seen = body.get("context", {}).get("seen", "").split()
        sure = [t for t in seen if t not in self.unsure]
        if sure != self.answered:
            found.append(f"{self.name}: {token} saw {seen}, answered were {self.answered}")
        if len(set(seen)) != len(seen):
            found.append(f"{self.name}: a turn was remembered twice: {seen}")
        self.answered.append(token)
        return found


# --- long streams ---------------------------------------------------------------------------------


async def stream(callers: Callers, url: str, number: int, seconds: float, slowly: bool) -> int:
    """Reads a long answer to its end; slowly until the time is over. Gives its bytes."""
    path = f"{url}/apis/v1/acme/chat/story-{number}/message"
    headers = {"accept": "text/event-stream", "x-turn-timeout": str(seconds + 120)}
    said = said_of(STORY, seconds=str(seconds), bytes="16384" if slowly else "512")
    size, tail = 0, b""
    ends = time.perf_counter() + seconds
    try:
        async with callers.session.post(path, json=said, headers=headers) as response:
            async for chunk in response.content.iter_chunked(4096):
                size += len(chunk)
                tail = (tail + chunk)[-400:]
                if slowly:
                    await asyncio.sleep(1)
                    if time.perf_counter() > ends:
                        return size
    except aiohttp.ClientError as error:
        callers.violated(f"stream {number} broke off after {size} bytes: {error}")
    else:
        told = b'"STATE_UNAVAILABLE"' in tail  # its end met the restart of the database
        if b'"done"' not in tail and not told:
            callers.violated(f"stream {number} ended without its end: {tail!r}")
    return size
