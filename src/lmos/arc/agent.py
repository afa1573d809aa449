"""An agent: what it is called, what it can do, and how it answers a turn."""

import asyncio
import copy
import inspect
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, get_args, overload

from typing_extensions import TypeVar

from lmos.arc import arguments, team
from lmos.arc.adl import (
    Diagnostic,
    Document,
    UseCase,
    check_fences,
    check_replies,
    check_tools,
)
from lmos.arc.adl.compat import ArcUseCase
from lmos.arc.budget import RateLimit
from lmos.arc.context import Context, Dependencies
from lmos.arc.direct import GIVEN
from lmos.arc.engine import Engine
from lmos.arc.gathering import ToolSource, gathered
from lmos.arc.memory import MemorySettings
from lmos.arc.observing.events import agent_loaded
from lmos.arc.outgoing import Filter, Window
from lmos.arc.output import Output
from lmos.arc.requests import at_once, turn_of
from lmos.arc.result import Result, collected
from lmos.arc.running import Told
from lmos.arc.sources import folder_of_caller, load, load_arc
from lmos.arc.team import Answering
from lmos.arc.tools import TIMEOUT, Tool, tool_of
from lmos.arc.turns import AgentTurn
from lmos.llm import ModelChoice, ScriptedModel
from lmos.llm.budget import Budget
from lmos.model import (
    Capability,
    Description,
    Responder,
    Skill,
    Started,
    State,
    Turn,
    TurnEvent,
    User,
    errors,
)

if TYPE_CHECKING:
    from pydantic_ai.models import Model
    from starlette.applications import Starlette

    from lmos.arc.serving import Settings

F = TypeVar("F", bound=Callable[..., Any])
In = TypeVar("In", default=str)
Out = TypeVar("Out", default=str)

#: The channels that an agent serves unless it says otherwise.
CHANNELS = ("web", "mobile", "ivr")


class Agent(Generic[In, Out]):
    """An agent.

        billing = Agent(name="billing-agent", use_cases="use_cases.md")

        @billing.tool
        async def get_bill(ctx: Context, month: str = "latest") -> Bill: ...

        result = await billing.run("how much do I owe?")

    `use_cases` is ADL, or a file of it beside the module that makes the agent; with `adl="arc"` it
    is read and followed as the original ARC does. `model` is a spec
    (`auto`, `direct`, `provider:model`) or a pydantic-ai model; `fallback_models` are asked when it
    does not answer. `memory` is where conversations are kept: `memory`, `sqlite`, `sqlite:PATH`,
    `redis://...`, `postgresql://...`, or `MemorySettings` for more. `deps` are things that tools
    ask for by their type; those that are async context managers are open while the agent runs.
    `input` and `output` are the types of requests and answers, text by default;
    `Agent[Question, Reply](...)` says the same. `agents` are others, by name, that it may call or
    hand over to.

    `instructions`, `model`, `settings` (pydantic-ai's) and `tools` may be functions of the context,
    and are asked each turn then. Capabilities come from the use cases unless they are given;
    `skills` are what its card tells people besides. Among several agents one whose
    `activate_on_features` are all on goes first.
    `InvalidInput` says with file and line what of a definition cannot be used.
    """

    def __init__(
        self,
        *,
        name: str,
        description: str = "",
        version: str = "1.0.0",
        instructions: "str | Callable[[Context], Any]" = "",
        use_cases: str | Path = "",
        adl: Literal["strict", "arc"] = "strict",
        capabilities: Sequence[Capability] = (),
        skills: Sequence[Skill] = (),
        tools: "Sequence[Any] | Callable[[Context], Any]" = (),
        agents: Sequence[Answering] = (),
        deps: Sequence[Any] = (),
        channels: Sequence[str] = CHANNELS,
        tenants: Sequence[str] = (),
        model: "str | Model | ScriptedModel | Callable[[Context], Any]" = "auto",
        fallback_models: "Sequence[str | Model]" = (),
        settings: "Mapping[str, Any] | Callable[[Context], Any] | None" = None,
        budget: Budget | None = None,
        limit: RateLimit | None = None,
        memory: "str | State | MemorySettings" = "memory",
        input_filters: Sequence[Filter] = (),
        output_filters: Sequence[Filter] = (),
        activate_on_features: Sequence[str] = (),
        input: type[In] | None = None,
        output: type[Out] | None = None,
    ) -> None:
        if not name:
            raise errors.InvalidInput("an agent has a name; write Agent(name=...)")
        arguments.kind("limit", limit, RateLimit, "RateLimit(60, per=60)")
        arguments.kind("budget", budget, Budget, "Budget(rounds=10)")
        self.name = name
        self.description = description
        self.version = version
        self.channels = arguments.several("channels", channels)
        self.tenants = arguments.several("tenants", tenants)
        self.features = frozenset(arguments.several("activate_on_features", activate_on_features))
        #: Its own tools; `offered` has those of its sources too.
        self.tools: dict[str, Tool] = {}
        given = () if callable(tools) else arguments.several("tools", tools)
        self._sources = [tool for tool in given if isinstance(tool, ToolSource)]
        self.offered: dict[str, Tool] = {} if self._sources else self.tools
        self._knows_tools = not self._sources and not callable(tools)
        self.agents = team.by_name(agents)
        self.limit = limit
        self.instructions_given: list[Callable[[Context], Any] | str] = []
        self.input_filters: list[Filter] = []
        self.output_filters: list[Filter] = []
        self.failure_handlers: list[Callable[..., Any]] = []
        self.start_handlers: list[Callable[..., Any]] = []
        for function in arguments.several("input_filters", input_filters):
            self.input_filter(function)
        for function in arguments.several("output_filters", output_filters):
            self.output_filter(function)
        if callable(instructions):
            self.instructions(instructions)
        elif instructions:
            self.instructions_given.append(instructions)
        self._capabilities = tuple(capabilities)
        self._skills = tuple(skills)
        self._types = (input, output)
        #: The files that `reload` reads, its own first.
        self.sources: tuple[Path, ...] = ()
        self.arc_use_cases: list[ArcUseCase] = []
        self._use_cases = use_cases
        self._folder = folder_of_caller()
        if adl not in ("strict", "arc"):
            raise errors.InvalidInput(f"adl={adl!r} is no way to read use cases; strict or arc are")
        self._adl = adl
        self._read()
        self._deps = Dependencies(arguments.several("deps", deps))
        self._open: AsyncExitStack | None = None
        self._starting = asyncio.Lock()
        self.engine = Engine(
            self,
            models=(model, *arguments.several("fallback_models", fallback_models)),
            settings=settings,
            budget=budget or Budget(),
            tools=tools if callable(tools) else None,
            memory=memory,
        )
        if callable(tools):
            role = "what chooses the tools of a turn (for one tool write tools=[...])"
            arguments.callable_with(role, tools, "ctx")
        for tool in given:
            if not isinstance(tool, ToolSource):
                self._add(self.made(tool))

    def __repr__(self) -> str:
        return f"Agent({self.name!r}, version={self.version!r})"

    # --- defining ---------------------------------------------------------------------------------

    @overload
    def tool(self, function: F) -> F: ...

    @overload
    def tool(
        self,
        *,
        name: str = "",
        timeout: float = TIMEOUT,
        retries: int = 0,
        sensitive: bool = False,
    ) -> Callable[[F], F]: ...

    def tool(self, function: F | None = None, **options: Any) -> Any:
        """Makes a typed function a tool. Its docstring tells the model what it does. `timeout` is
        in seconds; `retries` follow an exception; a `sensitive` call waits for the user's yes.
        """

        def add(function: F) -> F:
            self._add(tool_of(function, **options))
            return function

        return add if function is None else add(function)

    def instructions(self, function: F) -> F:
        """Adds what a language model is told in each turn: a function of the context."""
        arguments.callable_with("instructions", function, "ctx")
        self.instructions_given.append(function)
        return function

    def input_filter(self, function: F) -> F:
        """Adds a function that changes what the user says before anybody reads it."""
        if not hasattr(function, "messages"):
            arguments.callable_with("an input filter", function, "ctx", "text")
        self.input_filters.append(function)
        return function

    @overload
    def output_filter(self, function: F) -> F: ...

    @overload
    def output_filter(self, *, window: Window = "whole") -> Callable[[F], F]: ...

    def output_filter(self, function: F | None = None, *, window: Window | None = None) -> Any:
        """Adds a function that changes the answer before anybody sees a word of it. One with
        `window="sentence"` is given a sentence at a time, so that the answer can stream.
        """

        def add(function: F) -> F:
            arguments.callable_with("an output filter", function, "ctx", "text")
            if window:
                function.window = window  # type: ignore[attr-defined]
            self.output_filters.append(function)
            return function

        return add if function is None else add(function)

    def on_fail(self, function: F) -> F:
        """Adds a function of the context and an error: the text to answer with, or None to leave it
        to the next one, and at last to the caller.
        """
        arguments.callable_with("on_fail", function, "ctx", "error")
        self.failure_handlers.append(function)
        return function

    def on_start(self, function: F) -> F:
        """Adds a function of the agent that runs when it starts; what it raises keeps the agent
        from starting.
        """
        arguments.callable_with("on_start", function, "agent")
        self.start_handlers.append(function)
        return function

    # --- what it is -------------------------------------------------------------------------------

    @property
    def dependencies(self) -> Dependencies:
        """What its tools may ask for."""
        return self._deps

    @property
    def use_cases(self) -> tuple[UseCase, ...]:
        """The use cases of its ADL."""
        return tuple(case for case in self._document.use_cases if not case.sub)

    @property
    def document(self) -> Document:
        """Its ADL, parsed."""
        return self._document

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
        """The model that answers, or that none does. Asks nothing of a model that varies."""
        return self.engine.choice

    @cached_property
    def input(self) -> Output | None:
        """The type of requests, None for text."""
        return _typed(self._types[0], self, 0)

    @cached_property
    def output(self) -> Output | None:
        """The type of answers, None for text."""
        return _typed(self._types[1], self, 1)

    def describe(self, url: str = "") -> Description:
        """What it says of itself."""
        return Description(
            name=self.name,
            version=self.version,
            description=self.description,
            supported_tenants=self.tenants,
            supported_channels=self.channels,
            capabilities=self.capabilities,
            skills=self._skills,
            url=url,
        )

    def check(self) -> None:
        """Raises `InvalidInput` with all that is wrong in the definition, by file and line."""
        self._check()
        for tool in self.tools.values():
            for parameter, type_ in tool.injected.items():
                try:
                    self._deps.get(type_)
                except errors.LmosError as error:
                    text = f"the tool {tool.name} needs {parameter}: {error.message}"
                    raise errors.InvalidInput(text) from None

    def _read(self) -> None:
        """Reads the use cases; those for the original's agents by its rules as well."""
        self._document, self.sources = load(self._use_cases, self._folder)
        self.arc_use_cases = []
        if self._adl == "arc" and self._use_cases:
            self.arc_use_cases = load_arc(self._use_cases, self._folder)
            self._document = Document(self._document.use_cases)

    def _check(self) -> None:
        document = self._document
        found = [
            *document.errors,
            *(found for found in check_fences(document) if found.severity == "error"),
        ]
        if self._knows_tools:  # else they show when it has started and every source answers
            found += check_tools(document, self.offered)
            found += check_replies(document, self.reply_names)
        if found:
            raise errors.InvalidInput("\n".join(self._placed(problem) for problem in found))

    def _placed(self, problem: Diagnostic) -> str:
        """What is wrong, with the path of its file."""
        if not problem.file:
            return f"{self.sources[0] if self.sources else 'use_cases'}:{problem}"
        file = self.sources[0].parent / f"{problem.file}.md"
        return f"{file}:{replace(problem, file='')}"

    @property
    def reply_names(self) -> list[str]:
        """What `{{name}}` in replies can be: tools, their parameters, and what is always given."""
        parameters = [p.name for tool in self.offered.values() for p in tool.parameters]
        return [*self.offered, *parameters, *GIVEN]

    # --- answering --------------------------------------------------------------------------------

    @property
    def responder(self) -> Responder:
        """The agent as a responder."""
        return self.respond

    async def start(self) -> None:
        """Checks the definition, opens what it depends on and loads what answering needs. Turns
        start an agent that has not been started.
        """
        async with self._starting:
            if self._open is not None:
                return
            with agent_loaded(self.name):
                await self.gather()
                self.check()
                async with AsyncExitStack() as stack:
                    for thing in self._deps:
                        if isinstance(thing, AbstractAsyncContextManager):
                            await stack.enter_async_context(thing)
                    await self.engine.load()
                    stack.push_async_callback(self.engine.close)
                    for function in self.start_handlers:
                        await _awaited(function(self))
                    self._open = stack.pop_all()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Releases what `start` or answering opened; leaving `async with agent:` does."""
        opened, self._open = self._open, None
        if opened:
            await opened.aclose()
        await self.engine.close()
        for source in self._sources:
            await source.close()

    async def gather(self) -> None:
        """Takes in the tools that its sources have now."""
        if self._sources:
            found, self._knows_tools = await gathered(self.tools, self._sources)
            self.offered.clear()
            self.offered.update(found)

    def reload(self) -> bool:
        """Reads the use cases again from their file; whether they have changed. `InvalidInput`
        tells what is wrong with them, and leaves those in force that were.
        """
        before = (self._document, self.sources, self.arc_use_cases)
        try:
            self._read()
            self._check()
        except errors.InvalidInput:
            self._document, self.sources, self.arc_use_cases = before
            raise
        self.engine.forget()
        return (self._document, self.arc_use_cases) != (before[0], before[2])

    async def respond(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        """Answers a turn with events."""
        if not self.agents:
            async with aclosing(self._answered(turn)) as events:
                async for event in events:
                    yield event
            return
        me = team.Named(self.name, self._answered)
        async with aclosing(team.handing_over(me, turn, self.agents.get)) as told:
            async for _, event in told:
                yield event

    async def run(
        self,
        request: In | Turn,
        *,
        conversation: str = "",
        user: str | User = "",
        tenant: str = "",
        channel: str = "",
        system_context: Mapping[str, str] | None = None,
    ) -> Result[Out]:
        """The answer to a request, once it is whole. Requests of one `conversation` are understood
        together. What fails is raised.
        """
        turn = self.turn(
            request,
            conversation=conversation,
            user=user,
            tenant=tenant,
            channel=channel,
            system_context=system_context,
        )
        async with aclosing(self.respond(turn)) as events:
            result = collected([event async for event in events])
        return self._typed_result(result)

    def run_sync(self, request: In | Turn, **options: Any) -> Result[Out]:
        """`run` for programs without an event loop. `InvalidInput` where there is one."""

        async def once() -> Result[Out]:
            try:
                return await self.run(request, **options)
            finally:
                await team.stop_all([self, *self.agents.values()])

        return at_once(once())

    def stream(self, request: In | Turn, **options: Any) -> AsyncGenerator[TurnEvent, None]:
        """The events of the answer as they come; `options` are those of `run`."""
        return self.respond(self.turn(request, **options))

    def turn(self, request: In | Turn, **options: Any) -> Turn:
        """The turn that a request is, a turn as it is; `options` are those of `run`."""
        return turn_of(request, **options)

    def as_tool(self, *, name: str = "", description: str = "") -> Tool:
        """The agent as a tool of another one: its request's type is the parameter's."""
        return team.tool_of_agent(
            self,
            name or self.name.replace("-", "_"),
            description or self.description,
            self.input.type if self.input else str,
        )

    def with_model(self, model: "str | Model") -> "Agent[In, Out]":
        """The same agent answering with another model, its conversations kept apart."""
        other = copy.copy(self)
        other._open, other._starting = None, asyncio.Lock()
        other.engine = self.engine.of(other, (model,))
        return other

    # --- serving ----------------------------------------------------------------------------------

    def app(self, settings: "Settings | None" = None) -> "Starlette":
        """The agent over HTTP: A2A, OpenAI, what else is installed, and health."""
        from lmos.arc.serving import app

        return app(self, settings)

    def serve(
        self,
        host: str = "127.0.0.1",
        port: int = 8000,
        fd: int | None = None,
        settings: "Settings | None" = None,
    ) -> None:
        """Serves the agent until SIGINT or SIGTERM, on an address or a listening socket."""
        from lmos.arc.serving import serve

        serve(self, host, port, fd, settings)

    # --- inside -----------------------------------------------------------------------------------

    async def _answered(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        """The turn answered by this agent alone."""
        if self._open is None:
            await self.start()
        yield Started(agent=self.name, version=self.version)
        told = Told()
        ctx = self.engine.context(turn, self._deps, told)
        events = AgentTurn(self, ctx).events()
        async with aclosing(told.between(events, self.engine.deadline(turn))) as both:
            async for event in both:
                yield event

    def _typed_result(self, result: Result[str]) -> Result[Any]:
        if self.output is None or result.question or result.handover:
            return result
        return result.typed(self.output.said(result.text))

    def made(self, thing: Any) -> Tool:
        """The tool that a function, another agent or a tool is."""
        if isinstance(thing, Tool):
            return thing
        return thing.as_tool() if isinstance(thing, Agent) else tool_of(thing)

    def _add(self, tool: Tool) -> None:
        if tool.name in self.tools:
            raise errors.InvalidInput(f"{self.name} has two tools named {tool.name}")
        self.tools[tool.name] = tool


async def _awaited(result: Any) -> None:
    if inspect.isawaitable(result):
        await result


def _typed(declared: Any, agent: Agent[Any, Any], place: int) -> Output | None:
    """The type of requests (place 0) or answers (1), as declared or in the brackets."""
    arguments = get_args(getattr(agent, "__orig_class__", None))
    type_ = declared or (arguments[place] if len(arguments) > place else None)
    return None if type_ in (None, str) else Output(type_)
