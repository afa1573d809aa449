"""What a turn may take of a language model, and how many turns may begin."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmos.llm.requests import price_of
from lmos.model import Usage, errors

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits of one turn: requests to the model (`rounds`), `tokens` in and out together, `cost` in
    US dollars, `seconds`. `price` is dollars a million tokens in and out, where a cost is limited
    and the model's price is not publicly known. None is no limit.
    """

    rounds: int = 30
    tokens: int | None = None
    cost: float | None = None
    seconds: float | None = None
    price: tuple[float, float] | None = None

    def check(self, usage: Usage) -> None:
        """Raises `BudgetExceeded` when the next request would be one too many."""
        if usage.requests >= self.rounds:
            raise errors.BudgetExceeded(
                f"the model called tools for {self.rounds} rounds without an answer"
            )
        spent = usage.input_tokens + usage.output_tokens
        if self.tokens is not None and spent >= self.tokens:
            raise errors.BudgetExceeded(f"the turn took {spent} tokens; it has {self.tokens}")
        if self.cost is not None and usage.cost >= self.cost:
            raise errors.BudgetExceeded(f"the turn cost ${usage.cost:.4f}; it has ${self.cost:g}")

    def cost_of(self, response: "ModelResponse") -> float:
        """What the response cost, in US dollars; 0 where nobody limits it and its price is unknown.
        `BudgetExceeded` when it is limited and the price is unknown.
        """
        if self.price is not None:
            into, out = self.price
            usage = response.usage
            return (usage.input_tokens * into + usage.output_tokens * out) / 1e6
        if self.cost is None:
            return 0.0
        if (known := price_of(response)) is None:
            raise errors.BudgetExceeded(
                f"the cost of a turn is limited, and the price of {response.model_name} is not "
                "known; give it: Budget(cost=..., price=(0.15, 0.60)), dollars a million tokens"
            )
        return known


class RateLimit:
    """At most `count` beginnings in any `per` seconds, in this process.

        searches = RateLimit(5, per=10)
        await searches.acquire(timeout=2)

    `timeout` is how long (seconds) a beginning waits for its place. As `Agent(limit=...)` it counts
    turns; one that finds no place ends with the `fallback` text, or as `Overloaded`.
    """

    def __init__(
        self,
        count: int,
        *,
        per: float,
        timeout: float = 30.0,
        fallback: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if count < 1 or per <= 0:
            raise errors.InvalidInput(f"a rate limit of {count} in {per} s lets nothing through")
        self.timeout = timeout
        self.fallback = fallback
        self._count = count
        self._per = per
        self._clock = clock
        self._begun: deque[float] = deque(maxlen=count)

    async def acquire(self, timeout: float | None = None) -> None:
        """Takes a place, waiting for it up to `timeout` seconds. `Overloaded` tells when to come
        again.
        """
        now = self._clock()
        wait = 0.0
        if len(self._begun) == self._count:
            wait = max(0.0, self._begun[0] + self._per - now)
        if wait > (self.timeout if timeout is None else timeout):
            text = f"more than {self._count} in {self._per:g} s; come back in {wait:.0f} s"
            raise errors.Overloaded(text, retry_after=wait)
        # The place is taken before waiting for it, so that nobody overtakes.
        self._begun.append(now + wait)
        if wait:
            await asyncio.sleep(wait)
