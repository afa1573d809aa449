"""Calls of sensitive tools, which wait until the caller approves them.

The turn ends with a question that tells the calls; what the model had in mind is kept with the
conversation. The next turn's yes or no, or `approval: approved | denied` in its system context,
decides. Anything else the user says counts as no, and is answered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from lmos.arc import words
from lmos.arc.context import Context
from lmos.arc.running import Wanted
from lmos.arc.signals import Ask

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage

#: Where in the turn's system context a caller decides, and in the question's context what on.
KEY = "approval"
_KEPT = "pending-approval"
DENIED = "the user did not approve this call; do not try it again unless asked to"


@dataclass(frozen=True, slots=True)
class Pending:
    """What waits: the model's conversation up to its calls, and the calls by their ids."""

    history: "list[ModelMessage]"
    waiting: frozenset[str]


def sensitive(calls: Sequence[Wanted]) -> list[Wanted]:
    """The calls that need approval."""
    return [call for call in calls if call.tool is not None and call.tool.sensitive]


def question(calls: Sequence[Wanted]) -> str:
    """What the user is asked."""
    told = " and ".join(_told(call) for call in calls)
    return f"May I {told}? Please answer yes or no."


def context_of(calls: Sequence[Wanted]) -> dict[str, str]:
    """What the caller is told of the calls, for an interface of its own."""
    data = [{"id": c.id, "tool": c.name, "arguments": c.arguments} for c in calls]
    return {KEY: orjson.dumps(data, default=str).decode()}


def verdict(ctx: Context) -> bool | None:
    """Whether the turn approves what was asked in the one before; None where it does not say."""
    said = ctx.system.get(KEY, "").lower()
    if said in ("approved", "denied"):
        return said == "approved"
    if words.NO.search(ctx.text):
        return False
    return True if words.YES.search(ctx.text) else None


async def ask(ctx: Context, history: "list[ModelMessage]", calls: Sequence[Wanted]) -> Ask:
    """Keeps what the model has in mind; gives the signal that ends the turn with the question."""
    from pydantic_ai.messages import ModelMessagesTypeAdapter

    kept = ModelMessagesTypeAdapter.dump_python(history, mode="json")
    await ctx.memory.put(_KEPT, {"history": kept, "waiting": [call.id for call in calls]})
    return Ask(question(calls), context=context_of(calls))


async def pending(ctx: Context) -> Pending | None:
    """What waits in the conversation; it waits no longer then."""
    from pydantic_ai.messages import ModelMessagesTypeAdapter

    kept: Any = await ctx.memory.get(_KEPT, scope="conversation")
    if kept is None:
        return None
    await ctx.memory.put(_KEPT, None)
    history = ModelMessagesTypeAdapter.validate_python(kept["history"])
    return Pending(list(history), frozenset(kept["waiting"]))


def _told(call: Wanted) -> str:
    arguments = ", ".join(f"{name} {value}" for name, value in call.arguments.items())
    what = call.name.replace("_", " ")
    return f"{what} ({arguments})" if arguments else what
