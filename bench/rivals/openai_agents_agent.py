"""The OpenAI Agents SDK, without a session: it keeps no conversation. Tracing is off."""

import json

import work
from agents import Agent, Model, ModelResponse, RunConfig, Runner, Usage, function_tool
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseTextDeltaEvent,
)

CONFIG = RunConfig(tracing_disabled=True)


class Scripted(Model):
    def __init__(self, kind):
        self._kind = kind

    def _output(self, given):
        items = [] if isinstance(given, str) else given
        told = sum(item.get("type") == "function_call_output" for item in items)
        calls = work.wanted(self._kind, told)
        if not calls:
            text = ResponseOutputText(type="output_text", text=work.ANSWER, annotations=[])
            return [
                ResponseOutputMessage(
                    id="m", type="message", role="assistant", status="completed", content=[text]
                )
            ]
        return [
            ResponseFunctionToolCall(
                type="function_call",
                name=work.TOOL,
                arguments=json.dumps(arguments),
                call_id=f"call-{told}-{n}",
            )
            for n, arguments in enumerate(calls)
        ]

    async def get_response(self, system_instructions, input, *_, **__):
        return ModelResponse(output=self._output(input), usage=Usage(), response_id=None)

    async def stream_response(self, system_instructions, input, *_, **__):
        output = self._output(input)
        number = 0
        if output[0].type == "message":
            for number, word in enumerate(work.words(work.ANSWER)):
                yield ResponseTextDeltaEvent(
                    type="response.output_text.delta",
                    delta=word,
                    item_id="m",
                    output_index=0,
                    content_index=0,
                    sequence_number=number,
                    logprobs=[],
                )
        response = Response(
            id="r",
            object="response",
            created_at=0,
            model="scripted",
            output=output,
            tool_choice="auto",
            tools=[],
            parallel_tool_calls=True,
        )
        yield ResponseCompletedEvent(
            type="response.completed", response=response, sequence_number=number + 1
        )


def made(kind):
    agent = Agent(
        name="bills",
        instructions=work.INSTRUCTIONS,
        model=Scripted(kind),
        tools=[function_tool(work.get_bill)],
    )

    async def turn(conversation, streamed):
        if not streamed:
            return (await Runner.run(agent, work.TEXT, run_config=CONFIG)).final_output
        result = Runner.run_streamed(agent, work.TEXT, run_config=CONFIG)
        async for _ in result.stream_events():
            pass
        return result.final_output

    return turn
