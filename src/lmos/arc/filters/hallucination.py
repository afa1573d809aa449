"""Holding back values that the model made up."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Literal

from lmos.arc.context import Context
from lmos.arc.filters import days, values
from lmos.arc.filters.values import Found, Kind
from lmos.arc.reading import day
from lmos.arc.running import valued
from lmos.arc.signals import HALLUCINATION, Break, Retry
from lmos.model import errors

#: What is checked unless said otherwise.
CHECKED = ("url", "email", "iban", "phone", "amount", "date")
_REFUSED = "made up before"
SORRY = "I am sorry, I cannot answer that reliably. Please ask in another way."


class HallucinationCheck:
    """Lets an answer pass when its values come from somewhere: what the model was told (system
    prompt, use cases, results of tools), what the user said, earlier answers.

        agent = Agent(name="a", output_filters=[HallucinationCheck(then="retry")])

    Whole values are compared, by what they mean: 42,50 € is the 42.5 of a tool's JSON, 01.12.2026
    is 1 December 2026, `example.com/a` is not `example.com/abc`. With a value that comes from
    nowhere the turn ends with `text` (`then="break"`), is run again up to `tries` times and ends
    with `text` after that (`"retry"`), or the value is replaced by `mask` (`"mask"`, which streams
    sentence by sentence). `kinds` are names of `values.KINDS` or kinds of one's own; `allowed` are
    values or texts that are always good.
    """

    def __init__(
        self,
        kinds: Sequence[str | Kind] = CHECKED,
        *,
        then: Literal["break", "retry", "mask"] = "break",
        text: Any = SORRY,
        tries: int = 2,
        mask: str = "[...]",
        allowed: Iterable[str] = (),
    ) -> None:
        if then not in ("break", "retry", "mask"):
            raise errors.InvalidInput(f"then={then!r} is not break, retry or mask")
        own = [kind for kind in kinds if isinstance(kind, Kind)]
        named = values.kinds(kind for kind in kinds if isinstance(kind, str))
        self._kinds = (*own, *named)
        self._then = then
        self._text = text
        self._tries = tries
        self._mask = mask
        self._allowed = tuple(allowed)
        self.window: Literal["sentence", "whole"] = "sentence" if then == "mask" else "whole"

    async def __call__(self, ctx: Context, text: str) -> str | None:
        """The text when nothing in it is made up."""
        claimed = _claimed(text, self._kinds)
        found = _unknown(claimed, self._known(ctx, claimed), self._kinds) if claimed else []
        if not found:
            return None
        if self._then == "mask":
            return masked(text, found, self._mask)
        if self._then == "retry" and (ctx.retry is None or ctx.retry.count < self._tries):
            told = ", ".join(f.text for f in found)
            reason = f"it states {told}, which nothing that you were told says"
            ctx.local.setdefault(_REFUSED, []).append(reason)
            raise Retry(reason, max=self._tries)
        counted = ", ".join(sorted({f.kind for f in found}))
        raise Break(
            str(await valued(self._text, ctx)),
            classification=HALLUCINATION,
            reason=f"values that come from nowhere: {counted}",
        )

    def _known(self, ctx: Context, claimed: Sequence[Found]) -> dict[str, set[Hashable]]:
        """What the turn makes known, of the kinds claimed."""
        wanted = {found.kind for found in claimed}
        sources = [*_sources(ctx), *self._allowed]
        known = {
            kind.name: {key for source in sources for key in kind.known(source)}
            for kind in self._kinds
            if kind.name in wanted
        }
        if "date" in known and (said := day(ctx.text)):  # tomorrow, in two weeks
            known["date"].update(days.of_day(said.year, said.month, said.day))
        return known


def made_up(text: str, sources: Iterable[str], kinds: Sequence[Kind] = ()) -> list[Found]:
    """The values of the text that no source has."""
    chosen = kinds or values.kinds(CHECKED)
    claimed, told = _claimed(text, chosen), list(sources)
    known = {k.name: {key for source in told for key in k.known(source)} for k in chosen}
    return _unknown(claimed, known, chosen)


def masked(text: str, found: Sequence[Found], mask: str) -> str:
    """The text with the mask where the values stand."""
    parts, at = [], 0
    for value in found:
        parts += [text[at : value.start], mask]
        at = value.end
    return "".join([*parts, text[at:]])


def _sources(ctx: Context) -> list[str]:
    """All that may be repeated. That the model was told what it made up does not make it true."""
    refused: list[str] = ctx.local.get(_REFUSED, [])
    told = [_without(datum.text, refused) for datum in ctx.data]
    said = [message.content for message in ctx.messages]
    hidden = [entity.value for entity in ctx.entities]
    return [*told, *said, *(v for v in hidden if not any(v in reason for reason in refused))]


def _without(text: str, parts: Sequence[str]) -> str:
    for part in parts:
        text = text.replace(part, "")
    return text


def _claimed(text: str, kinds: Sequence[Kind]) -> list[Found]:
    """The values of those kinds, where they are not part of values of other kinds."""
    names = {kind.name for kind in kinds}
    others = [kind for kind in values.KINDS.values() if kind.name not in names]
    own = [kind for kind in kinds if kind.name not in values.KINDS]
    ordered = [kind for kind in values.KINDS.values() if kind in (*kinds, *others)]
    return [found for found in values.find(text, [*own, *ordered]) if found.kind in names]


def _unknown(
    claimed: Sequence[Found], known: dict[str, set[Hashable]], kinds: Sequence[Kind]
) -> list[Found]:
    by_name = {kind.name: kind for kind in kinds}
    return [
        found
        for found in claimed
        if known[found.kind].isdisjoint(by_name[found.kind].keys(found.text))
    ]
