"""A language model that a router asks: one structured answer, within time, and what it cost."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Generic, TypeVar

from lmos.llm import resolve_model
from lmos.llm.requests import Shape, price_of, understood
from lmos.model import Decision, errors

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.models import Model

T = TypeVar("T")

#: Failures in a row after which the model is left alone, and for how many seconds.
FAILURES = 3
REST = 30.0


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """What is asked: the task, the data as JSON, the shape of the answer and how it is read. `read`
    makes a `ValueError` of an answer that is not valid.
    """

    task: str
    told: str
    shape: Shape
    read: Callable[[str], T]


@dataclass(frozen=True, slots=True)
class Advice(Generic[T]):
    """The answer, what it cost in US dollars, and how many milliseconds it took."""

    answer: T
    model: str
    cost: float
    took: float

    def on(self, decision: Decision, stage: str) -> Decision:
        """The decision, saying that it comes from this advice."""
        return decision.but(
            stage=stage,
            model=self.model,
            cost=decision.cost + self.cost,
            timings={**decision.timings, stage: self.took},
        )


class Advisor:
    """Asks a model, given as a spec or a pydantic-ai model. `timeout` is in seconds and for all
    rounds of a question together. A model that does not answer again and again is left alone for a
    while, so that not every turn waits for it.
    """

    def __init__(
        self,
        model: "str | Model",
        *,
        timeout: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        found = resolve_model(model).model if isinstance(model, str) else model
        if found is None:
            raise errors.InvalidInput(
                f"{model!r} means no language model here, and this router needs one; "
                "set LMOS_MODEL or a provider's key, such as OPENAI_API_KEY"
            )
        self._model = found
        self._timeout = timeout
        self._clock = clock
        self._failures = 0
        self._resting_until = 0.0

    @property
    def name(self) -> str:
        """The model's name."""
        return self._model.model_name

    async def ask(self, question: Question[T], deadline: datetime | None = None) -> Advice[T]:
        """The model's valid answer. `ModelFailed` when it gives none in time, or is left alone for
        having failed before; `DeadlineExceeded` when the deadline passes first. Both tell the cost
        of the answers that were of no use in `details`.
        """
        if self._resting_until > self._clock():
            raise errors.ModelFailed(f"{self.name} failed {FAILURES} times in a row and rests")
        responses: list[ModelResponse] = []
        began = time.perf_counter()
        try:
            answer = await self._answered(question, deadline, responses)
        except errors.LmosError as error:
            self._note(failed=isinstance(error, errors.ModelFailed) and not responses)
            error.details["cost"] = _cost(responses)
            raise
        self._note(failed=False)
        took = round((time.perf_counter() - began) * 1000, 3)
        return Advice(answer, self.name, _cost(responses), took)

    async def _answered(
        self,
        question: Question[T],
        deadline: datetime | None,
        responses: "list[ModelResponse]",
    ) -> T:
        try:
            async with asyncio.timeout(self._seconds(deadline)):
                return await understood(
                    self._model,
                    question.task,
                    question.told,
                    question.read,
                    who=self.name,
                    wanted=question.shape.name,
                    shape=question.shape,
                    responses=responses,
                )
        except TimeoutError:
            raise self._late(deadline) from None

    def _seconds(self, deadline: datetime | None) -> float:
        """How long the model may take: its own time, and no longer than the turn's."""
        return self._timeout if deadline is None else min(self._timeout, remaining(deadline))

    def _late(self, deadline: datetime | None) -> errors.LmosError:
        if deadline and remaining(deadline) <= 0:
            return errors.DeadlineExceeded(
                f"the time of the turn is up before {self.name} answered the router"
            )
        return errors.ModelFailed(f"{self.name} did not answer within {self._timeout} s")

    def _note(self, *, failed: bool) -> None:
        self._failures = self._failures + 1 if failed else 0
        if self._failures >= FAILURES:
            self._failures, self._resting_until = 0, self._clock() + REST


def remaining(deadline: datetime) -> float:
    """Seconds until then, negative when it has passed."""
    return (deadline - datetime.now(UTC)).total_seconds()


def _cost(responses: "list[ModelResponse]") -> float:
    return sum(price_of(response) or 0.0 for response in responses)
