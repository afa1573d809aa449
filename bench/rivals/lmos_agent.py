"""Our agent. It keeps each conversation, in memory, as it does by default."""

from itertools import count

import work
from scripted_model import scripted

from lmos import Agent
from lmos.model import Answer, Message, Turn

_numbers = count()


def made(kind):
    agent = Agent(
        name="bills",
        instructions=work.INSTRUCTIONS,
        model=scripted(kind).model,
        tools=[work.get_bill],
        memory="memory",
    )

    async def turn(conversation, streamed):
        said = Turn(
            conversation_id=conversation,
            turn_id=f"t{next(_numbers)}",
            messages=(Message(role="user", content=work.TEXT),),
        )
        if not streamed:
            return (await agent.run(said)).text
        text = ""
        async for event in agent.respond(said):
            if isinstance(event, Answer):
                text = event.message.content
        return text

    return turn
