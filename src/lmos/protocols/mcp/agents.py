"""An agent as a tool: what the user says goes in, the answer comes out, its words on the way."""

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any
from uuid import uuid4

from lmos.model import Description, Failed, Message, Responder, Turn, User
from lmos.protocols import limits
from lmos.protocols.answering import Outcome, answered
from lmos.protocols.mcp import codec
from lmos.protocols.mcp.offer import Annotations, Caller, Result, Tool


def agent_tool(description: Description, responder: Responder, *, name: str = "") -> Tool:
    """The agent as the tool `ask_<agent>`, or `name`.

    Takes `input`, what the user says, and `conversation`; a call without one begins a new
    conversation, which the result names. Progress tells status and the answer's text as it comes.
    The result has the answer, who gave it and its context; `status` is `input_required` when the
    answer is a question. A cancelled call cancels the turn.
    """

    async def call(caller: Caller, arguments: Mapping[str, Any]) -> Result:
        turn = _turn(caller, arguments)
        extended = codec.EXTENSION in caller.meta
        outcome, told = Outcome(), 0
        async with aclosing(answered(responder, turn, agent=description.name)) as events:
            async for event in events:
                outcome.add(event)
                text = codec.told_by(event)
                if text or extended:
                    told += 1
                    carried = {codec.EXTENSION: event.wire()} if extended else None
                    await caller.progress(told, message=text, meta=carried)
        if isinstance(outcome.terminal, Failed):
            raise outcome.terminal.exception()
        return codec.answer_of(outcome, turn.conversation_id)

    return Tool(
        name=codec.safe_name(name or f"ask_{description.name}"),
        description=_words(description),
        schema=codec.ASK_SCHEMA,
        output=codec.ANSWER_SCHEMA,
        call=call,
        annotations=Annotations(title=description.name, open_world=True),
        meta={
            codec.EXTENSION: True,
            "agent": description.name,
            "version": description.version,
            "capabilities": [capability.name for capability in description.capabilities],
        },
    )


def _words(description: Description) -> str:
    """What a host's model reads of the agent: what it is for, and what users say to it."""
    lines = [description.description or f"The agent {description.name}."]
    for capability in description.capabilities:
        example = f' ("{capability.examples[0]}")' if capability.examples else ""
        lines.append(f"- {capability.description or capability.name}{example}")
    return "\n".join(lines)


def _turn(caller: Caller, arguments: Mapping[str, Any]) -> Turn:
    text, conversation = codec.checked_arguments(arguments)
    carried = caller.meta.get(codec.EXTENSION)
    if isinstance(carried, dict):
        turn = limits.parsed(Turn, carried)
    else:
        turn = Turn(
            conversation_id=limits.check_name("conversation", conversation or str(uuid4())),
            turn_id=str(uuid4()),
            messages=(Message(role="user", content=text),),
            trace=_trace(caller.meta),
        )
    limits.check_messages(turn.messages)
    return turn if caller.user is None else turn.but(user=_proved(caller.user, turn.user))


def _proved(user: User, said: User) -> User:
    """Who the caller proved to be; what the application says of them stays beside it."""
    return user.but(profile={**said.profile, **user.profile})


def _trace(meta: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: meta[name]
        for name in ("traceparent", "tracestate")
        if isinstance(meta.get(name), str)
    }
