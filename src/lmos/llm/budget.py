"""What a turn may take of a language model."""

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
