"""The tools, prompts and resources that the conformance suite asks for, on our server.

`python everything_server.py PORT` serves them at /mcp on loopback, and says so on a line.
"""

import asyncio
import base64
import json
import socket
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette

from lmos.model import BinaryData, Message
from lmos.model.errors import LmosError
from lmos.protocols.mcp import Argument, Caller, Face, Offer, Prompt, Resource, Result, Tool

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJ"
    "RU5ErkJggg=="
)
WAV = base64.b64encode(
    b"RIFF\x26\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0"
    b"data\x02\0\0\0\0\0"
).decode()
IMAGE = BinaryData(mime_type="image/png", data_as_base64=PNG)
NOTHING = {"type": "object", "properties": {}}

Arguments = Mapping[str, Any]


def embedded(uri: str, mime_type: str, text: str) -> BinaryData:
    data = base64.b64encode(text.encode()).decode()
    return BinaryData(mime_type=mime_type, data_as_base64=data, source=uri)


async def simple_text(caller: Caller, arguments: Arguments) -> Result:
    return Result(("This is a simple text response for testing.",))


async def image(caller: Caller, arguments: Arguments) -> Result:
    return Result((IMAGE,))


async def audio(caller: Caller, arguments: Arguments) -> Result:
    return Result((BinaryData(mime_type="audio/wav", data_as_base64=WAV),))


async def embedded_resource(caller: Caller, arguments: Arguments) -> Result:
    text = "This is an embedded resource content."
    return Result((embedded("test://embedded-resource", "text/plain", text),))


async def mixed(caller: Caller, arguments: Arguments) -> Result:
    data = json.dumps({"test": "data", "value": 123})
    resource = embedded("test://mixed-content-resource", "application/json", data)
    return Result(("Multiple content types test:", IMAGE, resource))


async def logging(caller: Caller, arguments: Arguments) -> Result:
    for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await caller.log("info", text)
        await asyncio.sleep(0.05)
    return Result(("Tool with logging executed successfully",))


async def progress(caller: Caller, arguments: Arguments) -> Result:
    for done in (0, 50, 100):
        await caller.progress(done, 100)
        await asyncio.sleep(0.05)
    return Result(("Tool with progress executed successfully",))


async def failing(caller: Caller, arguments: Arguments) -> Result:
    raise LmosError("This tool intentionally returns an error for testing")


async def reconnection(caller: Caller, arguments: Arguments) -> Result:
    await caller.release()
    await asyncio.sleep(0.1)
    return Result(("Reconnection test completed successfully",))


async def sampling(caller: Caller, arguments: Arguments) -> Result:
    return Result((f"LLM response: {await caller.sample(arguments['prompt'], 100)}",))


async def elicitation(caller: Caller, arguments: Arguments) -> Result:
    text = {"type": "string"}
    schema = {
        "type": "object",
        "properties": {
            "username": text | {"description": "User's response"},
            "email": text | {"description": "User's email address"},
        },
        "required": ["username", "email"],
    }
    answer = await caller.ask(arguments["message"], schema)
    said = f"action={answer['action']}, content={json.dumps(answer['content'])}"
    return Result((f"User response: {said}",))


def asking(properties: dict[str, Any]) -> Any:
    async def call(caller: Caller, arguments: Arguments) -> Result:
        schema = {"type": "object", "properties": properties, "required": []}
        answer = await caller.ask("Please fill in the form", schema)
        said = f"action={answer['action']}, content={json.dumps(answer['content'])}"
        return Result((f"Elicitation completed: {said}",))

    return call


defaults = asking(
    {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {
            "type": "string",
            "enum": ["active", "inactive", "pending"],
            "default": "active",
        },
        "verified": {"type": "boolean", "default": True},
    }
)


def titled(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"const": value, "title": title} for value, title in pairs]


PLAIN = ["option1", "option2", "option3"]
OPTIONS = titled(
    ("value1", "First Option"), ("value2", "Second Option"), ("value3", "Third Option")
)
enums = asking(
    {
        "untitledSingle": {"type": "string", "enum": PLAIN},
        "titledSingle": {"type": "string", "oneOf": OPTIONS},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": PLAIN}},
        "titledMulti": {"type": "array", "items": {"anyOf": OPTIONS}},
    }
)

SCHEMA_2020 = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
    "additionalProperties": False,
}


def taking(name: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}


TOOLS = [
    Tool(name, f"Tests {name}.", schema, call)
    for name, schema, call in (
        ("test_simple_text", NOTHING, simple_text),
        ("test_image_content", NOTHING, image),
        ("test_audio_content", NOTHING, audio),
        ("test_embedded_resource", NOTHING, embedded_resource),
        ("test_multiple_content_types", NOTHING, mixed),
        ("test_tool_with_logging", NOTHING, logging),
        ("test_tool_with_progress", NOTHING, progress),
        ("test_error_handling", NOTHING, failing),
        ("test_reconnection", NOTHING, reconnection),
        ("test_sampling", taking("prompt"), sampling),
        ("test_elicitation", taking("message"), elicitation),
        ("test_elicitation_sep1034_defaults", NOTHING, defaults),
        ("test_elicitation_sep1330_enums", NOTHING, enums),
        ("json_schema_2020_12_tool", SCHEMA_2020, simple_text),
    )
]

# --- resources and prompts ------------------------------------------------------------------------


async def static_text(uri: str, values: Mapping[str, str]) -> str:
    return "This is the content of the static text resource."


async def static_binary(uri: str, values: Mapping[str, str]) -> bytes:
    return base64.b64decode(PNG)


async def of_template(uri: str, values: Mapping[str, str]) -> str:
    id_ = values["id"]
    return json.dumps({"id": id_, "templateTest": True, "data": f"Data for ID: {id_}"})


RESOURCES = [
    Resource("test://static-text", "static text", "Some text.", static_text),
    Resource("test://static-binary", "static binary", "An image.", static_binary, "image/png"),
    Resource("test://watched-resource", "watched", "Some text to watch.", static_text),
    Resource("test://template/{id}/data", "template", "By id.", of_template, "application/json"),
]


def user(text: str = "", *binaries: BinaryData) -> Message:
    return Message(role="user", content=text, binary_data=binaries)


async def simple_prompt(arguments: Mapping[str, str]) -> list[Message]:
    return [user("This is a simple prompt for testing.")]


async def prompt_with_arguments(arguments: Mapping[str, str]) -> list[Message]:
    given = f"arg1='{arguments['arg1']}', arg2='{arguments['arg2']}'"
    return [user(f"Prompt with arguments: {given}")]


async def prompt_with_resource(arguments: Mapping[str, str]) -> list[Message]:
    text = "Embedded resource content for testing."
    resource = embedded(arguments["resourceUri"], "text/plain", text)
    return [user("", resource), user("Please process the embedded resource above.")]


async def prompt_with_image(arguments: Mapping[str, str]) -> list[Message]:
    return [user("", IMAGE), user("Please analyze the image above.")]


def needing(*names: str) -> list[Argument]:
    return [Argument(name, f"The {name}.", required=True) for name in names]


PROMPTS = [
    Prompt("test_simple_prompt", "A simple prompt.", simple_prompt),
    Prompt(
        "test_prompt_with_arguments",
        "A prompt with arguments.",
        prompt_with_arguments,
        needing("arg1", "arg2"),
    ),
    Prompt(
        "test_prompt_with_embedded_resource",
        "A prompt with a resource.",
        prompt_with_resource,
        needing("resourceUri"),
    ),
    Prompt("test_prompt_with_image", "A prompt with an image.", prompt_with_image),
]


async def complete(place: str, argument: str, typed: str) -> list[str]:
    return [word for word in ("paris", "park", "party", "london") if word.startswith(typed)]


OFFER = Offer(
    name="everything",
    version="1.0.0",
    tools=TOOLS,
    prompts=PROMPTS,
    resources=RESOURCES,
    complete=complete,
)


def main(port: int) -> None:
    face = Face(OFFER)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None, None]:
        async with face.running():
            print("ready", flush=True)
            yield

    app = Starlette(routes=face.routes(), lifespan=lifespan)
    listener = socket.create_server(("127.0.0.1", port))  # before anybody hears that it is ready
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run([listener])


if __name__ == "__main__":
    main(int(sys.argv[1]))
