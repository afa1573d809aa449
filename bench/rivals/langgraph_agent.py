"""LangGraph's prebuilt agent, without a checkpointer: it keeps no conversation."""

import json
import warnings

import work
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import tool
from langgraph.prebuilt import create_react_agent


class Scripted(BaseChatModel):
    script: str

    @property
    def _llm_type(self):
        return "scripted"

    def bind_tools(self, tools, **_):
        return self

    def _calls(self, messages):
        results = sum(isinstance(message, ToolMessage) for message in messages)
        return work.wanted(self.script, results), results

    def _generate(self, messages, stop=None, run_manager=None, **_):
        calls, told = self._calls(messages)
        wanted = [
            {"name": work.TOOL, "args": arguments, "id": f"call-{told}-{n}"}
            for n, arguments in enumerate(calls)
        ]
        message = AIMessage("" if calls else work.ANSWER, tool_calls=wanted)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs):
        return self._generate(messages)

    async def _astream(self, messages, stop=None, run_manager=None, **_):
        calls, told = self._calls(messages)
        for n, arguments in enumerate(calls):
            piece = {
                "name": work.TOOL,
                "args": json.dumps(arguments),
                "id": f"call-{told}-{n}",
                "index": n,
            }
            yield ChatGenerationChunk(message=AIMessageChunk("", tool_call_chunks=[piece]))
        for word in work.words(work.ANSWER) if not calls else ():
            yield ChatGenerationChunk(message=AIMessageChunk(word))


def made(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it moved into another package, unchanged
        agent = create_react_agent(
            Scripted(script=kind), [tool(work.get_bill)], prompt=work.INSTRUCTIONS
        )

    async def turn(conversation, streamed):
        given = {"messages": [{"role": "user", "content": work.TEXT}]}
        if not streamed:
            return (await agent.ainvoke(given))["messages"][-1].content
        text = ""
        async for message, _ in agent.astream(given, stream_mode="messages"):
            if isinstance(message, AIMessageChunk):
                text += message.content
        return text

    return turn
