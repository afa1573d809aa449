"""What an MCP server offers, in plain data: tools, prompts and resources."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from lmos.model import BinaryData, Message, User

#: A piece of content: text, or bytes. Images and sounds are shown as such; other bytes are an
#: embedded resource, and a `source` without bytes is a link to one.
Content = str | BinaryData


class Caller(Protocol):
    """Who calls a tool, and what can be done for them while it runs.

    `user` is who they proved to be, None where nobody asked. `meta` is the call's `_meta`.
    """

    @property
    def user(self) -> User | None:
        """Who they proved to be."""
        ...

    @property
    def meta(self) -> Mapping[str, Any]:
        """What came with the call."""
        ...

    async def progress(
        self,
        done: float,
        total: float | None = None,
        message: str = "",
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Tells how far it is, to a caller who wants to know. `done` must grow."""
        ...

    async def log(self, level: str, text: str) -> None:
        """Sends a line for the caller's log: `debug`, `info`, `warning` or `error`."""
        ...

    async def ask(self, message: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Asks the person at the other end to fill in a form: `{"action", "content"}`, where the
        action is `accept`, `decline` or `cancel`. `InvalidInput` when the caller cannot be asked.
        """
        ...

    async def sample(self, prompt: str, max_tokens: int = 1000) -> str:
        """What the caller's language model says to the prompt. `InvalidInput` when it has none."""
        ...

    async def release(self) -> None:
        """Lets the connection go while the tool works on; the caller comes back for the result."""
        ...


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool gives back. `structured` is for programs, `content` for models and people."""

    content: Sequence[Content] = ()
    structured: Mapping[str, Any] | None = None
    failed: bool = False
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Annotations:
    """What hosts may want to know before they call a tool; None where nothing is known."""

    title: str = ""
    read_only: bool | None = None
    destructive: bool | None = None
    idempotent: bool | None = None
    open_world: bool | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool. `schema` is the JSON schema of its arguments, `output` that of its structured result.

    What `call` raises as an `LmosError` is told to the caller's model; anything else is told as an
    internal error and logged here.
    """

    name: str
    description: str
    schema: Mapping[str, Any]
    call: Callable[[Caller, Mapping[str, Any]], Awaitable[Result]]
    output: Mapping[str, Any] | None = None
    annotations: Annotations = Annotations()
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a prompt; its value is text."""

    name: str
    description: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text, with blanks to fill, that a person may start with."""

    name: str
    description: str
    get: Callable[[Mapping[str, str]], Awaitable[Sequence[Message]]]
    arguments: Sequence[Argument] = ()


@dataclass(frozen=True, slots=True)
class Resource:
    """A document. A `uri` with `{names}` is a template: `read` gets their values as well."""

    uri: str
    name: str
    description: str
    read: Callable[[str, Mapping[str, str]], Awaitable[str | bytes]]
    mime_type: str = "text/plain"

    @property
    def is_template(self) -> bool:
        """Whether it stands for many."""
        return "{" in self.uri


#: Values that would go on from what was typed: `(prompt name or resource uri, argument, typed)`.
Complete = Callable[[str, str, str], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Offer:
    """Everything that a server offers. `instructions` tell a host's model how to use it."""

    name: str
    version: str = ""
    instructions: str = ""
    tools: Sequence[Tool] = ()
    prompts: Sequence[Prompt] = ()
    resources: Sequence[Resource] = ()
    complete: Complete | None = None
