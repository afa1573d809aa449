"""What a language model is told before the conversation: who it is, what to do, what it may use."""

from collections.abc import Sequence

from lmos.arc.context import Context


def system_prompt(
    description: str, instructions: Sequence[str], use_cases: str, ctx: Context
) -> str:
    """The agent's description, its instructions, its use cases, and where the user is."""
    parts = [description, *instructions, use_cases]
    if ctx.channel or ctx.tenant:
        parts.append(f"Channel: {ctx.channel or 'unknown'}. Tenant: {ctx.tenant or 'unknown'}.")
    return "\n\n".join(part for part in parts if part)
