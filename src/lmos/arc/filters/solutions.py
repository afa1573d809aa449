"""Holding an answer to the use case that it follows."""

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field

from lmos.arc.adl import mustache
from lmos.arc.context import Context
from lmos.arc.filters.rewriting import keeps, kept
from lmos.arc.signals import Retry
from lmos.arc.tools import plain_data
from lmos.arc.windows import sentences
from lmos.model import LmosError

_JUDGE = (
    "You check answers of a customer service assistant. The requirements say what the answer must "
    "do. Where it does not, give the answer again with as little changed as possible so that it "
    "does. Keep its language; make nothing up."
)


class StaticResponse:
    """Says the solution of the use case instead of the model's answer, where all of the solution is
    quoted. `{{tool.field}}` in it is filled from the results of the turn's tools; where a tool was
    not called, the answer stays.

        agent = Agent(
            name="a", use_cases="use_cases.md", output_filters=[StaticResponse()]
        )
    """

    def __call__(self, ctx: Context, text: str) -> str | None:
        """The quoted text where there is one."""
        lines = [line for line in ctx.solution if line.text.strip()]
        replies = [line.reply for line in lines]
        known = {
            "user": {"id": ctx.user.id, **ctx.user.profile},
            "tenant": ctx.tenant,
            "channel": ctx.channel,
            **{call.name: plain_data(call.result) for call in ctx.calls if call.error is None},
        }
        if not replies or not all(_filled(reply, known) for reply in replies):
            return None
        return "\n".join(mustache.render(reply, known).strip() for reply in replies if reply)


class Judgement(BaseModel):
    """What the judge says of an answer."""

    follows: bool = Field(description="whether the answer does all that is required")
    fixed: str = Field(default="", description="the answer mended, where it does not")


class MustSentences:
    """Sees to it that the answer does what the solution says it MUST: a language model judges it by
    the sentences with the word, and mends it.

        agent = Agent(
            name="a", use_cases="use_cases.md", output_filters=[MustSentences()]
        )

    Without such a sentence nobody is asked. When the judge fails, the answer stays as it was
    (`on_error="keep"`) or the turn fails (`"raise"`).
    """

    def __init__(
        self,
        keyword: str = "MUST",
        *,
        model: Any = None,
        on_error: Literal["keep", "raise"] = "keep",
    ) -> None:
        self._keyword = keyword
        self._model = model
        self._keep = keeps(on_error)

    async def __call__(self, ctx: Context, text: str) -> str | None:
        """The answer, mended where it has to be."""
        required = _with_word(ctx, self._keyword)
        if not required:
            return None
        rules = "\n".join(f"- {sentence}" for sentence in required)
        prompt = f"Requirements:\n{rules}\n\nThe customer said:\n{ctx.text}\n\nAnswer:\n{text}"
        try:
            judged = await ctx.llm(prompt, system=_JUDGE, model=self._model, output=Judgement)
        except LmosError as error:
            kept(error, self._keep)
            return None
        return None if judged.follows else judged.fixed.strip() or None


class AskSentences:
    """Has the model try again when the solution says to ASK something and the answer asks nothing.
    An answer that asks nothing after `tries` more is let through.

        agent = Agent(
            name="a", use_cases="use_cases.md", output_filters=[AskSentences()]
        )
    """

    def __init__(self, keyword: str = "ASK", *, tries: int = 1) -> None:
        self._keyword = keyword
        self._tries = tries

    def __call__(self, ctx: Context, text: str) -> None:
        """Keeps an answer that asks."""
        tried = ctx.retry.count if ctx.retry else 0
        if tried >= self._tries or re.search("[?？]", text):
            return
        if to_ask := _with_word(ctx, self._keyword):
            raise Retry(f"it does not ask: {' '.join(to_ask)}", max=self._tries)


class ReturnUseCaseId:
    """Puts `<USE_CASE:id>` before the answer where the turn's system context says
    `returnUseCaseId: true`, for evaluations that see nothing but text.

        agent = Agent(name="a", output_filters=[ReturnUseCaseId()])
    """

    def __call__(self, ctx: Context, text: str) -> str | None:
        """The text with the id."""
        asked = ctx.system.get("returnUseCaseId", "").lower() == "true"
        return f"<USE_CASE:{ctx.use_case}>{text}" if asked and ctx.use_case else None


def _filled(reply: str | None, known: Mapping[str, Any]) -> bool:
    return reply is not None and all(name in known for name in mustache.names(reply))


def _with_word(ctx: Context, word: str) -> list[str]:
    """The sentences of the solution that have the word."""
    pattern = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
    lines = (line.text for line in ctx.solution)
    return [s.strip() for line in lines for s in sentences(line) if pattern.search(s)]
