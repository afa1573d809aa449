"""Letting a part of the conversations in."""

import hashlib
from typing import Any

from lmos.arc.context import Context
from lmos.arc.running import valued
from lmos.arc.signals import Break, HandOver
from lmos.model import errors

#: Equal parts that conversations fall into; a percentage counts to a hundredth.
BUCKETS = 10_000


class Admit:
    """Lets a percentage of the conversations in, always the same ones; more of them when it rises,
    and none that was in before is left out.

        agent = Agent(name="a", input_filters=[Admit(10, hand_over="old-agent")])

    The others end with the text `reject` (text, or a function of the context), or are handed over
    to the agent `hand_over`. `salt` draws another part: give each experiment its own.
    """

    def __init__(
        self, percent: float, *, reject: Any = "", hand_over: str = "", salt: str = ""
    ) -> None:
        if not 0 <= percent <= 100:
            raise errors.InvalidInput(f"{percent} is no percentage; give one from 0 to 100")
        if not reject and not hand_over:
            raise errors.InvalidInput("say what others get: Admit(10, reject=... or hand_over=...)")
        self._below = round(percent * BUCKETS / 100)
        self._reject = reject
        self._hand_over = hand_over
        self._salt = salt

    def admits(self, conversation: str) -> bool:
        """Whether the conversation is let in."""
        return bucket(conversation, self._salt) < self._below

    async def __call__(self, ctx: Context, text: str) -> None:
        """Keeps the message of a conversation that is let in."""
        if self.admits(ctx.turn.conversation_id):
            return
        if self._hand_over:
            raise HandOver(self._hand_over, reason="not admitted")
        raise Break(str(await valued(self._reject, ctx)), reason="not admitted")


def bucket(conversation: str, salt: str = "") -> int:
    """Which of the `BUCKETS` the conversation falls into."""
    digest = hashlib.blake2b(f"{salt}\x00{conversation}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % BUCKETS
