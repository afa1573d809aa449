"""Use cases as agents of the original ARC have them: all in the prompt, and tags in replies.

The model begins its reply with `<ID:use_case>`, and with `<Step 1>` or `<No Step>` where it is at a
step. The tags are taken out while the reply streams. They are only believed where the use case is
one that the model was shown.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lmos.arc.adl import Part, compat, lines_that_hold, present, solution_of
from lmos.arc.choosing import facts_of
from lmos.arc.context import Context, Datum
from lmos.arc.progress import Chose, Journey, Solved

if TYPE_CHECKING:
    from lmos.arc.agent import Agent

INSTRUCTIONS = """\
Begin each reply with the id of the use case that it follows, as <ID:use_case_id>. When you do a \
step of a use case write <Step 1>, with the number of the step, behind it, else <No Step>. When no \
use case fits, reply NO_ANSWER. The use cases:"""

#: Where the original keeps the step that a conversation is at.
STEP = "current_step"
#: Characters of a tag at most; what is longer is no tag.
LONGEST = 120

_TAG = re.compile(
    r"<(?:(?:ID|usecase|use_case):\s*(?P<id>[^<>]*?)\s*|Step (?P<step>\w*)|(?P<none>No Step))>",
    re.IGNORECASE,
)


class Tags:
    """Takes the tags out of a reply that comes in pieces. `id` is that of the first one."""

    def __init__(self) -> None:
        self.id = ""
        self.step = ""
        self._held = ""
        self._said = False

    def feed(self, piece: str) -> str:
        """What of the reply may go on; the beginning of a tag is held back."""
        self._held += piece
        kept = self._without(self._held)
        start = kept.rfind("<")
        open_ = start >= 0 and ">" not in kept[start:] and len(kept) - start < LONGEST
        out, self._held = (kept[:start], kept[start:]) if open_ else (kept, "")
        return self._begun(out)

    def flush(self) -> str:
        """What is left when nothing more comes."""
        out, self._held = self._held, ""
        return self._begun(out)

    def _without(self, text: str) -> str:
        for tag in _TAG.finditer(text):
            self.id = self.id or (tag["id"] or "")
            self.step = self.step or (tag["step"] or "")
        return _TAG.sub("", text)

    def _begun(self, text: str) -> str:
        """The text without blanks before its first word."""
        text = text if self._said else text.lstrip()
        self._said = self._said or bool(text)
        return text


class TaggedGuide:
    """The use cases of one turn, for a model that names the one it follows by tags."""

    tool = None
    missing: Sequence[str] = ()

    def __init__(self, agent: "Agent[Any, Any]", ctx: Context, journey: Journey) -> None:
        self._ctx = ctx
        self._journey = journey
        self._tags = Tags()
        self._cases = agent.use_cases
        facts = self._facts = facts_of(ctx, journey.progress)
        self._text = compat.render(
            agent.arc_use_cases, facts.names, text=ctx.text, used=journey.progress.used
        )
        self._shown = {case.id for case in compat.read(self._text)}

    @classmethod
    async def of(cls, agent: "Agent[Any, Any]", ctx: Context) -> "TaggedGuide":
        """The guide of a turn."""
        return cls(agent, ctx, await Journey.of(ctx))

    def prompt(self) -> str:
        """What the model reads of the use cases."""
        self._ctx.data.append(Datum("use cases", self._text))
        return f"{INSTRUCTIONS}\n\n{self._text}"

    def heard(self, piece: str) -> str:
        """The piece of the reply without tags."""
        return self._tags.feed(piece)

    def rest(self) -> str:
        """What of the reply was held back."""
        text = self._tags.flush()
        if self._tags.id in self._shown:
            self._ctx.use_case = self._tags.id
            self._ctx.solution = list(lines_that_hold(self._solution(), self._facts))
        return text

    def _solution(self) -> Sequence[Part]:
        cases = present(self._cases, self._facts)
        case = next((case for case in cases if case.id == self._tags.id), None)
        return case.section(solution_of(case, self._facts)) if case else ()

    async def keep(self, *, answered: bool = True) -> None:
        """Keeps the use case and the step that the model named. A turn that is at a step does not
        count as a use.
        """
        if not answered:
            return
        await self._ctx.memory.put(STEP, self._tags.step or None)
        if self._ctx.use_case:
            self._journey.go(Chose(use_case=self._ctx.use_case))
            if not self._tags.step:
                self._journey.go(Solved())
        await self._journey.keep(self._ctx)
