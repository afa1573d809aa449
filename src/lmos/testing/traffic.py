"""Requests to a model and its responses as plain data that people can read and machines compare.

What differs from run to run without meaning anything is left out: times, ids of calls, white space
at the ends of lines. Loads pydantic-ai.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelResponse,
    ModelResponsePart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

Data = dict[str, Any]

#: Settings that change what a model says. Others (headers, time limits) are nobody's business.
SETTINGS = (
    "temperature",
    "top_p",
    "top_k",
    "max_tokens",
    "seed",
    "stop_sequences",
    "presence_penalty",
    "frequency_penalty",
    "tool_choice",
    "parallel_tool_calls",
    "thinking",
)
_PART: TypeAdapter[ModelResponsePart] = TypeAdapter(ModelResponsePart)


def request_data(
    messages: Sequence[ModelMessage],
    settings: ModelSettings | None,
    parameters: ModelRequestParameters,
) -> Data:
    """A request as data."""
    given: Mapping[str, Any] = settings or {}
    data: Data = {}
    if used := {name: given[name] for name in SETTINGS if given.get(name) is not None}:
        data["settings"] = used
    if parameters.function_tools:
        data["tools"] = [_tool(tool) for tool in parameters.function_tools]
    if parameters.output_tools:
        data["output"] = [_tool(tool) for tool in parameters.output_tools]
    if parameters.output_object is not None:
        data["output_schema"] = parameters.output_object.json_schema
    data["messages"] = [entry for message in messages for entry in _message(message)]
    plain: Data = json.loads(json.dumps(data, default=str))
    return plain


def response_data(response: ModelResponse) -> Data:
    """A response as data."""
    usage = {
        "input_tokens": response.usage.input_tokens,
        "output_tokens": response.usage.output_tokens,
    }
    data: Data = {"parts": [_part(part) for part in response.parts], "usage": usage}
    if response.finish_reason:
        data["finish_reason"] = response.finish_reason
    return data


def response_parts(data: Data, number: int) -> list[ModelResponsePart]:
    """The parts of a response again; calls get ids that are the same in every run."""
    return [_of_part(entry, f"call-{number}-{n}") for n, entry in enumerate(data["parts"])]


def response_usage(data: Data) -> RequestUsage:
    """What the response took."""
    return RequestUsage(**data.get("usage", {}))


# --- requests -------------------------------------------------------------------------------------


def _tool(tool: Any) -> Data:
    described = {"name": tool.name, "description": _tidy(tool.description or "")}
    return {**described, "parameters": tool.parameters_json_schema}


def _message(message: ModelMessage) -> Iterable[Data]:
    if isinstance(message, ModelResponse):
        for said in message.parts:
            yield {"assistant": _part(said)}
        return
    if message.instructions:
        yield {"system": _tidy(message.instructions)}
    for part in message.parts:
        yield _request_part(part)


def _request_part(part: Any) -> Data:
    match part.part_kind:
        case "system-prompt":
            return {"system": _tidy(str(part.content))}
        case "user-prompt":
            return {"user": _content(part.content)}
        case "tool-return":
            return {"result": part.tool_name, "content": _content(part.content)}
    return {part.part_kind: _content(getattr(part, "content", ""))}


def _content(content: Any) -> Any:
    """Text as text, binary data by its type and checksum, anything else as data."""
    if isinstance(content, str):
        return _tidy(content)
    if isinstance(content, BinaryContent):
        return {
            "binary": content.media_type,
            "sha256": hashlib.sha256(content.data).hexdigest(),
        }
    if isinstance(content, list | tuple):
        return [_content(item) for item in content]
    return content


def _tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


# --- responses ------------------------------------------------------------------------------------


def _part(part: ModelResponsePart) -> Data:
    if isinstance(part, TextPart):
        return {"text": part.content}
    if isinstance(part, ThinkingPart):
        return {"thinking": part.content}
    if isinstance(part, ToolCallPart):
        return {"call": part.tool_name, "arguments": _arguments(part)}
    return {"part": _PART.dump_python(part, mode="json")}


def _arguments(part: ToolCallPart) -> Any:
    """The arguments; as text where they are no JSON."""
    try:
        return part.args_as_dict(raise_if_invalid=True)
    except (ValueError, AssertionError):
        return part.args


def _of_part(data: Data, call_id: str) -> ModelResponsePart:
    if "text" in data:
        return TextPart(data["text"])
    if "thinking" in data:
        return ThinkingPart(data["thinking"])
    if "call" in data:
        arguments = data["arguments"]
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        return ToolCallPart(data["call"], text, tool_call_id=call_id)
    return _PART.validate_python(data["part"])
