"""Having the conversations: every variant from the beginning, each in a conversation of its own."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from lmos.arc import Agent
from lmos.llm import embedder
from lmos.model import LmosError
from lmos.testing.asking import Asking
from lmos.testing.conversations.checks import Checker, calls_of
from lmos.testing.conversations.format import Conversation, Message
from lmos.testing.conversations.judging import Judge
from lmos.testing.conversations.outcomes import Exchange, Outcome, Report, Thresholds, Variant


async def run_tests(
    tests: Sequence[Conversation],
    agent: Agent[Any, Any],
    *,
    model: Any = None,
    judge: Judge | None = None,
    thresholds: Thresholds | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> Report:
    """What comes of the tests. `model` answers in place of the agent's own; `on_outcome` is told
    each outcome when it is there. The agent is stopped at the end; one that cannot start raises.
    """
    marks = thresholds or Thresholds()
    checker = Checker(embedder(), judge, marks)
    began, clock = datetime.now(UTC), time.perf_counter()
    asked = agent if model is None else agent.with_model(getattr(model, "model", model))
    outcomes = []
    try:
        await asked.start()
        for test in tests:
            variants = tuple([await _had(test, n, asked, checker) for n in range(test.variants)])
            verdict = marks.verdict(min(variant.score for variant in variants))
            outcomes.append(Outcome(test, variants, verdict))
            if on_outcome is not None:
                on_outcome(outcomes[-1])
    finally:
        await asked.stop()
    return Report(
        outcomes=tuple(outcomes),
        agent=asked.name,
        version=asked.version,
        model=asked.model.name,
        judge=judge.name if judge else "",
        began=began,
        seconds=time.perf_counter() - clock,
        thresholds=marks,
    )


async def _had(
    test: Conversation, number: int, agent: Agent[Any, Any], checker: Checker
) -> Variant:
    """The conversation in one of its ways. It ends where the agent fails."""
    ask = Asking(f"{test.file.stem}/{test.name}/{number}")
    exchanges: list[Exchange] = []
    said: list[tuple[str, str]] = []
    for message in test.messages:
        exchange = await _exchanged(test, message, number, agent, ask, said, checker)
        exchanges.append(exchange)
        if exchange.error:
            break
    return Variant(number, tuple(exchanges))


async def _exchanged(
    test: Conversation,
    message: Message,
    number: int,
    agent: Agent[Any, Any],
    ask: Asking,
    said: list[tuple[str, str]],
    checker: Checker,
) -> Exchange:
    text = message.said(number)
    clock = time.perf_counter()
    try:
        answer = await ask(
            agent,
            text,
            user=test.user,
            tenant=test.tenant,
            channel=test.channel,
            context=test.context,
        )
    except Exception as error:  # whatever an agent raises is the outcome of its test
        told = error.message if isinstance(error, LmosError) else f"{type(error).__name__}: {error}"
        return Exchange(text, error=told, milliseconds=_since(clock))
    took = _since(clock)
    said.append((text, answer.text))
    return Exchange(
        said=text,
        answer=answer.text,
        use_case=answer.use_case,
        calls=tuple(calls_of(answer)),
        checks=tuple([await checker.make(check, answer, said) for check in message.checks]),
        milliseconds=took,
    )


def _since(clock: float) -> float:
    return (time.perf_counter() - clock) * 1000
