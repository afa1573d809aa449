"""No agent: the scripted model asked through pydantic-ai's model layer, and the tool called. What
is left over this is the agent's.
"""

import json

import work
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.messages import ModelRequest, SystemPromptPart, ToolReturnPart, UserPromptPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition
from scripted_model import scripted

SCHEMA = {"type": "object", "properties": {"month": {"type": "string", "default": "latest"}}}
PARAMETERS = ModelRequestParameters(
    function_tools=[ToolDefinition(name=work.TOOL, parameters_json_schema=SCHEMA)]
)


def made(kind):
    model = scripted(kind).model

    async def asked(messages, streamed):
        if not streamed:
            return await model_request(model, messages, model_request_parameters=PARAMETERS)
        async with model_request_stream(
            model, messages, model_request_parameters=PARAMETERS
        ) as stream:
            async for _ in stream:
                pass
        return stream.get()

    async def turn(conversation, streamed):
        prompt = SystemPromptPart(work.INSTRUCTIONS)
        messages = [ModelRequest(parts=[prompt, UserPromptPart(work.TEXT)])]
        while True:
            response = await asked(messages, streamed)
            if not response.tool_calls:
                return response.text
            returns = [
                ToolReturnPart(
                    tool_name=call.tool_name,
                    content=await work.get_bill(**json.loads(call.args)),
                    tool_call_id=call.tool_call_id,
                )
                for call in response.tool_calls
            ]
            messages += [response, ModelRequest(parts=returns)]

    return turn
