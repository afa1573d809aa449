"""What a language model is told before the conversation: who it is, what to do, what it may use."""

from collections.abc import Sequence

from lmos.arc.adl import UseCase, rendered
from lmos.arc.context import Context
from lmos.arc.direct import facts_of

HOW = (
    "Answer from the use cases below. Choose the one that fits what the user wants and do "
    "what its Solution says, calling the tools it names. Say quoted text as it is, with "
    "{{name}} filled from the tools' results. Ask when something you need is missing. "
    "When no use case fits, say so and do not make anything up."
)


def system_prompt(
    description: str, instructions: Sequence[str], cases: Sequence[UseCase], ctx: Context
) -> str:
    """The agent's description, its instructions, and the use cases that hold."""
    parts = [description, *instructions]
    if cases:
        parts += [HOW, rendered(cases, facts_of(ctx))]
    if ctx.channel or ctx.tenant:
        parts.append(f"Channel: {ctx.channel or 'unknown'}. Tenant: {ctx.tenant or 'unknown'}.")
    return "\n\n".join(part for part in parts if part)
