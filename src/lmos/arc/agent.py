"""An agent: what it is called, what it can do, and how it answers a turn."""

import inspect
import os
import re
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from lmos.arc.adl import Document, UseCase, check_replies, check_tools, parse
from lmos.arc.context import Context, Dependencies
from lmos.arc.direct import GIVEN, Direct, Reply
from lmos.arc.loop import Spoken, run, system_prompt
from lmos.arc.running import Told
from lmos.arc.sources import ToolSource, gathered
from lmos.arc.tools import TIMEOUT, Tool, tool_of
from lmos.llm import ModelChoice, embedder, resolve_model
from lmos.model import (
    Answer,
    Capability,
    Description,
    Done,
    InputRequired,
    Message,
    Responder,
    Started,
    State,
    TextDelta,
    Turn,
    TurnEvent,
    Usage,
    errors,
)
from lmos.state import History, MemoryState, open_state

if TYPE_CHECKING:
    from pydantic_ai.models import Model
    from starlette.applications import Starlette

F = TypeVar("F", bound=Callable[..., Any])
Filter = Callable[[Context, str], Any]

#: The channels that an agent serves unless it says otherwise.
CHANNELS = ("web", "mobile", "ivr")


class Agent:
    """An agent.

        billing = Agent(name="billing-agent", use_cases="use_cases.md")

        @billing.tool
        async def get_bill(ctx: Context, month: str = "latest") -> Bill: ...

    `use_cases` is ADL, or a file of it beside the module that makes the agent. `model` is a spec
    (`auto`, `direct`, `provider:model`) or a pydantic-ai model. `memory` is where conversations are
    kept: `memory`, `sqlite` or `sqlite:PATH`. `deps` are things that tools ask for by their type.
    Capabilities come from the use cases unless they are given. `InvalidInput` says with file and
    line what of a definition cannot be used.
    """

    def __init__(
        self,
        *,
        name: str,
        description: str = "",
        version: str = "1.0.0",
        instructions: str = "",
        use_cases: str | Path = "",
        capabilities: Sequence[Capability] = (),
        tools: Sequence[Callable[..., Any] | ToolSource] = (),
        deps: Sequence[Any] = (),
        channels: Sequence[str] = CHANNELS,
        tenants: Sequence[str] = (),
        model: "str | Model" = "auto",
        memory: str = "memory",
    ) -> None:
        self.name = name
        self.description = description
        self.version = version
        self.channels = tuple(channels)
        self.tenants = tuple(tenants)
        self.tools: dict[str, Tool] = {}
        self._sources = [tool for tool in tools if isinstance(tool, ToolSource)]
        #: Own tools and, once it has started, those of its sources.
        self._offered = {} if self._sources else self.tools
        self._knows_tools = not self._sources
        self._capabilities = tuple(capabilities)
        self._instructions: list[Callable[[Context], Any] | str] = []
        if instructions:
            self._instructions.append(instructions)
        self._document, self._source = _load(use_cases, _folder_of_caller())
        self._deps = Dependencies(tuple(deps))
        self._model_spec = model
        self._memory_spec = memory
        self._input_filters: list[Filter] = []
        self._output_filters: list[Filter] = []
        self._state: State | None = None
        self._direct: Direct | None = None
        self._choice: ModelChoice | None = None
        for function in tools:
            if not isinstance(function, ToolSource):
                self.tool(function)

    def __repr__(self) -> str:
        return f"Agent({self.name!r}, version={self.version!r})"

    # --- defining ---------------------------------------------------------------------------------

    @overload
    def tool(self, function: F) -> F: ...

    @overload
    def tool(self, *, timeout: float = TIMEOUT) -> Callable[[F], F]: ...

    def tool(self, function: F | None = None, *, timeout: float = TIMEOUT) -> Any:
        """Makes a typed function a tool. Its docstring tells the model what it does; `timeout` is
        in seconds.
        """

        def add(function: F) -> F:
            made = tool_of(function, timeout=timeout)
            if made.name in self.tools:
                raise errors.InvalidInput(f"{self.name} has two tools named {made.name}")
            self.tools[made.name] = made
            return function

        return add if function is None else add(function)

    def instructions(self, function: F) -> F:
        """Adds what a language model is told in each turn: a function of the context."""
        self._instructions.append(function)
        return function

    def input_filter(self, function: F) -> F:
        """Adds a function that changes what the user says before anybody reads it."""
        self._input_filters.append(function)
        return function

    def output_filter(self, function: F) -> F:
        """Adds a function that changes the answer before anybody sees a word of it."""
        self._output_filters.append(function)
        return function

    # --- what it is -------------------------------------------------------------------------------

    @property
    def use_cases(self) -> tuple[UseCase, ...]:
        """The use cases of its ADL."""
        return self._document.use_cases

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        """What it offers: as declared, else one capability a use case."""
        if self._capabilities:
            return self._capabilities
        return tuple(
            Capability(
                id=case.id,
                name=case.id.replace("_", "-"),
                version=case.version or self.version,
                description=case.description,
                examples=case.examples,
            )
            for case in self.use_cases
        )

    @property
    def model(self) -> ModelChoice:
        """The model that answers, or that none does."""
        if self._choice is None:
            if isinstance(self._model_spec, str):
                self._choice = resolve_model(self._model_spec)
            else:
                self._choice = _Given(self._model_spec)
        return self._choice

    def describe(self, url: str = "") -> Description:
        """What it says of itself."""
        return Description(
            name=self.name,
            version=self.version,
            description=self.description,
            supported_tenants=self.tenants,
            supported_channels=self.channels,
            capabilities=self.capabilities,
            url=url,
        )

    def check(self) -> None:
        """Raises `InvalidInput` with all that is wrong in the definition, by file and line."""
        tools = self._offered
        parameters = [p.name for tool in tools.values() for p in tool.parameters]
        found = list(self._document.diagnostics)
        if self._knows_tools:  # else they show when it has started and every source answers
            found += check_tools(self._document, tools)
            found += check_replies(self._document, [*tools, *parameters, *GIVEN])
        if found:
            where = self._source or "use_cases"
            raise errors.InvalidInput("\n".join(f"{where}:{problem}" for problem in found))

    # --- answering --------------------------------------------------------------------------------

    @property
    def responder(self) -> Responder:
        """The agent as a responder."""
        return self.respond

    async def start(self) -> None:
        """Checks the definition and loads what answering needs."""
        await self._gather_tools()
        self.check()
        if self.model.direct:
            await self._in_direct().load()
        else:
            _ = self.model.model

    async def stop(self) -> None:
        """Releases what `start` or answering opened."""
        if self._state:
            await self._state.close()
            self._state = None

    async def respond(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        """Answers a turn with events."""
        yield Started(agent=self.name, version=self.version)
        history = History(self._kept())
        turn = await history.recall(turn)
        told = Told()
        ctx = await self._filtered_input(self._context(turn, told), told)
        reply, spoken = Reply(), Spoken()
        held = bool(self._output_filters)
        async with aclosing(told.between(self._events(ctx, reply, spoken))) as events:
            async for event in events:
                if not (held and isinstance(event, TextDelta)):
                    yield event
        usage = Usage(model="direct")
        if not self.model.direct:
            reply.text, usage = spoken.text, spoken.usage
        reply.text = await self._filtered_output(ctx, reply.text)
        if self.model.direct or held:
            for sentence in _sentences(reply.text):
                yield TextDelta(text=sentence)
        async for event in self._ended(ctx, history, reply, usage):
            yield event

    async def _events(
        self, ctx: Context, reply: Reply, spoken: Spoken
    ) -> AsyncGenerator[TurnEvent, None]:
        await self._gather_tools()
        model = self.model.model
        if model is None:
            async for event in self._in_direct().respond(ctx, reply):
                yield event
            return
        told = [await _called(i, ctx) if callable(i) else i for i in self._instructions]
        prompt = system_prompt(self.description, told, self.use_cases, ctx)
        async with aclosing(run(model, ctx, prompt, dict(self._offered), spoken)) as events:
            async for event in events:
                yield event

    async def _ended(
        self, ctx: Context, history: History, reply: Reply, usage: Usage
    ) -> AsyncGenerator[TurnEvent, None]:
        """The whole message, remembered, and the end of the turn."""
        message = Message(role="assistant", content=reply.text, turn_id=ctx.turn.turn_id)
        context = {**ctx.output, **reply.context}
        if reply.use_case:
            context["useCase"] = reply.use_case
        await history.remember(ctx.turn, [message])
        if reply.question:
            yield InputRequired(message=message, context=context)
            return
        yield Answer(message=message, context=context)
        yield Done(usage=usage)

    # --- serving ----------------------------------------------------------------------------------

    def app(self) -> "Starlette":
        """The agent over HTTP: A2A, OpenAI, capabilities and health."""
        from lmos.arc.serving import app

        return app(self)

    def serve(self, host: str = "127.0.0.1", port: int = 8000, fd: int | None = None) -> None:
        """Serves the agent until SIGINT or SIGTERM, on an address or a listening socket."""
        from lmos.arc.serving import serve

        serve(self, host, port, fd)

    # --- inside -----------------------------------------------------------------------------------

    async def _gather_tools(self) -> None:
        """Takes in the tools that its sources have now."""
        if self._sources:
            found, self._knows_tools = await gathered(self.tools, self._sources)
            self._offered.clear()
            self._offered.update(found)

    def _in_direct(self) -> Direct:
        if self._direct is None:
            self._direct = Direct(self.name, self.use_cases, self._offered, embedder())
        return self._direct

    def _kept(self) -> State:
        if self._state is None:
            self._state = _open(self._memory_spec, self.name)
        return self._state

    def _context(self, turn: Turn, told: Told) -> Context:
        return Context(turn, agent=self.name, deps=self._deps, state=self._kept(), emit=told)

    async def _filtered_input(self, ctx: Context, told: Told) -> Context:
        text = ctx.text
        for function in self._input_filters:
            text = await _called(function, ctx, text)
        if text == ctx.text:
            return ctx
        last = ctx.turn.messages[-1].but(content=text)
        changed = self._context(ctx.turn.but(messages=(*ctx.turn.history, last)), told)
        changed.output = ctx.output
        return changed

    async def _filtered_output(self, ctx: Context, text: str) -> str:
        for function in self._output_filters:
            text = await _called(function, ctx, text)
        return text


class _Given(ModelChoice):
    """A model object that the agent was given."""

    def __init__(self, model: "Model") -> None:
        super().__init__(name=model.model_name, why="given to the agent")
        object.__setattr__(self, "_model", model)

    @property
    def model(self) -> "Model":
        """The model."""
        return self._model  # type: ignore[attr-defined,no-any-return]


async def _called(function: Callable[..., Any], *arguments: Any) -> Any:
    """A filter's or instruction's result, whether it is a coroutine or not. None keeps the text."""
    result = function(*arguments)
    if inspect.isawaitable(result):
        result = await result
    if result is None:
        return arguments[-1] if isinstance(arguments[-1], str) else ""
    return result


def _sentences(text: str) -> list[str]:
    """The text in pieces that end with a sentence or a line, as it is streamed."""
    return [piece for piece in re.split(r"(?<=[.!?])(?=\s)|(?<=\n)", text) if piece]


def _folder_of_caller() -> Path:
    """The folder of the module that is making an agent."""
    frame = sys._getframe(2)
    file = frame.f_globals.get("__file__")
    return Path(file).resolve().parent if file else Path.cwd()


def _load(use_cases: str | Path, folder: Path) -> tuple[Document, str]:
    """The document, and the file it came from if it came from one."""
    if not use_cases:
        return Document(()), ""
    if isinstance(use_cases, str) and "\n" in use_cases:
        return parse(use_cases), ""
    path = folder / use_cases
    try:
        return parse(path.read_text(encoding="utf-8")), str(path)
    except OSError as error:
        raise errors.InvalidInput(
            f"the use cases {path} cannot be read: {error.strerror}"
        ) from None


def _open(spec: str, name: str) -> State:
    if spec == "memory":
        return MemoryState()
    directory = Path(os.environ.get("LMOS_STATE_DIR") or ".lmos/state")
    return open_state(spec, directory, name)
