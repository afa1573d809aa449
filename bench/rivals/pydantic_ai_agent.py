"""pydantic-ai's Agent, with the same scripted model as ours. It keeps no conversation."""

import work
from pydantic_ai import Agent
from scripted_model import scripted


def made(kind):
    agent = Agent(scripted(kind).model, instructions=work.INSTRUCTIONS, tools=[work.get_bill])

    async def turn(conversation, streamed):
        if not streamed:
            return (await agent.run(work.TEXT)).output
        async with agent.run_stream(work.TEXT) as result:
            return "".join([d async for d in result.stream_text(delta=True, debounce_by=None)])

    return turn
