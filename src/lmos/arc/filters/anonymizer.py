"""Keeping private values from the model: placeholders on the way in, the values on the way out."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Literal

from lmos.arc.context import Context
from lmos.arc.filters import values
from lmos.arc.filters.disguise import Disguise, Finder, named
from lmos.arc.filters.values import Kind
from lmos.model import AnonymizationEntity, Message
from lmos.state import Summarise

#: What is private unless said otherwise.
PRIVATE = ("email", "iban", "card", "phone")
_KEPT = "anonymization-entities"
#: Stands between messages that are hidden together, so that they share their placeholders.
_BETWEEN = "\x1e\n\x1e"


class Anonymizer:
    """Replaces private values by placeholders such as `[EMAIL_1]` before a model sees them, and
    puts them back into the answer.

        anonymizer = Anonymizer(
            patterns={"customer": r"\\bK\\d{8}\\b"}, finders={"name": names_in}
        )
        agent = Agent(
            name="a", input_filters=[anonymizer], output_filters=[anonymizer.restored]
        )

    Hidden are the message, the history, the instructions, the results of tools and what is asked
    aside (`ctx.llm`). The answer is restored while it streams. Tools get the real values, or with
    `tools="placeholders"` what the model writes. `ctx.entities` tells what stands for what; the
    caller gets it with the answer. Those that it brings are used, and with `remember` those of the
    conversation's earlier turns are too.

    `kinds` are names of `values.KINDS`; an IBAN or a card's number counts when its check digits are
    right, or with `mistyped` also when they are not. `patterns` are regular expressions by type,
    `finders` functions by type that name the values in a text. Without a language model nothing is
    hidden, because nobody is there to hide it from.
    """

    def __init__(
        self,
        kinds: Sequence[str] = PRIVATE,
        *,
        patterns: Mapping[str, str | re.Pattern[str]] | None = None,
        finders: Mapping[str, Finder] | None = None,
        mistyped: bool = False,
        tools: Literal["values", "placeholders"] = "values",
        remember: bool = True,
    ) -> None:
        own = [values.pattern(name, pattern) for name, pattern in (patterns or {}).items()]
        found = [named(name, finder) for name, finder in (finders or {}).items()]
        strict = [kind if mistyped else _checked(kind) for kind in values.kinds(kinds)]
        self._kinds = (*own, *strict, *found)
        self._tools_see_values = tools == "values"
        self._remember = remember

    async def messages(self, ctx: Context, messages: Sequence[Message]) -> list[Message]:
        """The conversation without private values."""
        if not await ctx.has_model():
            return list(messages)
        disguise = self._of(ctx)
        if self._remember:
            await self._recall(ctx)
        hidden = [message.but(content=disguise.hide(message.content)) for message in messages]
        await self._keep(ctx)
        return hidden

    async def __call__(self, ctx: Context, text: str) -> str:
        """A text without private values."""
        return self._of(ctx).hide(text) if await ctx.has_model() else text

    @cached_property
    def restored(self) -> "Restored":
        """The output filter that puts the values back."""
        return Restored(self)

    async def restore(self, ctx: Context, text: str) -> str:
        """The text with its values."""
        await self._keep(ctx)
        return self._of(ctx).restore(text)

    def summarising(self, summarise: Summarise) -> Summarise:
        """The same summary of a conversation, made without seeing its private values:

        MemorySettings(summarise=anonymizer.summarising(summarised_by("openai:gpt-4o-mini")))
        """

        async def hidden(messages: Sequence[Message]) -> str:
            disguise = Disguise(kinds=self._kinds)
            told = [message.content.replace(_BETWEEN, " ") for message in messages]
            texts = disguise.hide(_BETWEEN.join(told)).split(_BETWEEN)
            shown = [m.but(content=text) for m, text in zip(messages, texts, strict=False)]
            return disguise.restore(await summarise(shown))

        return hidden

    def _of(self, ctx: Context) -> Disguise:
        """The turn's disguise, which the loop around the model uses too."""
        if ctx.disguise is None:
            ctx.disguise = Disguise(
                ctx.entities, self._kinds, tools_see_values=self._tools_see_values
            )
        return ctx.disguise

    async def _recall(self, ctx: Context) -> None:
        """Adds the entities of earlier turns. The caller's count where both know a placeholder."""
        kept = [AnonymizationEntity.model_validate(e) for e in await ctx.memory.get(_KEPT, [])]
        taken = {entity.replacement for entity in ctx.entities}
        ctx.entities += [entity for entity in kept if entity.replacement not in taken]
        ctx.local[_KEPT] = len(kept)

    async def _keep(self, ctx: Context) -> None:
        if self._remember and len(ctx.entities) > ctx.local.get(_KEPT, 0):
            kept = [entity.wire() for entity in ctx.entities]
            await ctx.memory.put(_KEPT, kept, sensitive=True)
            ctx.local[_KEPT] = len(ctx.entities)


class Restored:
    """The way back of an `Anonymizer`: an output filter."""

    window = "sentence"

    def __init__(self, anonymizer: Anonymizer) -> None:
        self._anonymizer = anonymizer

    async def __call__(self, ctx: Context, text: str) -> str:
        """The text with its values."""
        return await self._anonymizer.restore(ctx, text)


def _checked(kind: Kind) -> Kind:
    """The kind, with only those values whose check digits are right."""
    return {"iban": values.VALID_IBAN, "card": values.VALID_CARD}.get(kind.name, kind)
