"""Turns and memories for the tests of memory."""

from typing import Any

from lmos.arc import Memory
from lmos.model import Message, State, Turn, User


def turn(
    text: str = "hello",
    *,
    tenant: str = "acme",
    channel: str = "web",
    conversation: str = "c",
    user: str = "",
) -> Turn:
    return Turn(
        tenant=tenant,
        channel=channel,
        conversation_id=conversation,
        turn_id="t",
        user=User(id=user),
        messages=(Message(role="user", content=text),),
    )


def said(text: str) -> list[Message]:
    return [Message(role="assistant", content=text)]


def memory(state: State, agent: str = "billing", *, observe: Any = None, **who: str) -> Memory:
    return Memory(state, turn(**who), agent, observe=observe)


async def keys(state: State) -> list[str]:
    return [key async for key, _ in state.scan("")]
