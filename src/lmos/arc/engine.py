"""What an agent needs to answer turns, made when first used: models, tools, memory, others."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lmos.arc import team
from lmos.arc.arguments import tools_of
from lmos.arc.choosing import Chooser
from lmos.arc.context import Context, Dependencies
from lmos.arc.direct import Direct
from lmos.arc.loop import Loop, Toolbox
from lmos.arc.memory import MemorySettings
from lmos.arc.output import Output
from lmos.arc.running import valued
from lmos.arc.tools import Tool
from lmos.llm import ModelChoice, embedder, resolve_model
from lmos.llm.asking import Models
from lmos.llm.budget import Budget
from lmos.llm.models import given
from lmos.model import Message, State, Turn, TurnEvent, errors
from lmos.state import History

log = logging.getLogger("lmos.arc")

if TYPE_CHECKING:
    from lmos.arc.agent import Agent


class Engine:
    """The moving parts of one agent. It is also what the agent's contexts can ask (`Services`)."""

    def __init__(
        self,
        agent: "Agent[Any, Any]",
        *,
        models: Sequence[Any],
        settings: Any,
        budget: Budget,
        tools: Any,
        memory: str | State | MemorySettings,
    ) -> None:
        self._agent = agent
        self._given, *self._fallbacks = models
        self._settings = settings
        self._budget = budget
        self._tools = tools
        self._memory = MemorySettings.of(memory)
        self._history: History | None = None
        self._choices: dict[str, ModelChoice] = {}
        self._clients, self._entered = AsyncExitStack(), set[int]()
        self._models: Models | None = None
        self._toolbox: Toolbox | None = None
        self._direct: Direct | None = None
        self._chooser: Chooser | None = None
        self._state: State | None = None

    def of(self, agent: "Agent[Any, Any]", models: Sequence[Any]) -> "Engine":
        """The same for a copy of the agent, with other models and nothing opened yet."""
        return Engine(
            agent,
            models=models,
            settings=self._settings,
            budget=self._budget,
            tools=self._tools,
            memory=self._memory,
        )

    # --- for a turn -------------------------------------------------------------------------------

    def context(self, turn: Turn, deps: Dependencies, told: Callable[[TurnEvent], None]) -> Context:
        """The context of a turn."""
        return Context(
            turn, agent=self._agent.name, deps=deps, state=self.state, emit=told, services=self
        )

    def deadline(self, turn: Turn) -> datetime | None:
        """When the turn must be done, by its caller's word or the agent's budget."""
        if self._budget.seconds is None:
            return turn.deadline
        own = datetime.now(UTC) + timedelta(seconds=self._budget.seconds)
        return min(own, turn.deadline) if turn.deadline else own

    async def models(self, ctx: Context) -> Models | None:
        """The models to ask in the turn; None in direct mode."""
        if self._models is not None:
            return self._models
        varies = _varies(self._given) or callable(self._settings)
        spec = await valued(self._given, ctx) if _varies(self._given) else self._given
        first = await self._opened(spec)
        if first.direct:
            return None
        made = Models(
            choices=(first, *[await self._opened(spec) for spec in self._fallbacks]),
            settings=dict(await valued(self._settings, ctx) or {}),
            budget=self._budget,
        )
        if not varies:
            self._models = made
        return made

    async def toolbox(self, ctx: Context, extra: Tool | None = None) -> Toolbox:
        """The tools of the turn, with one more where it is given."""
        agent = self._agent
        await agent.gather()
        if self._tools is not None or extra is not None:
            added = map(agent.made, tools_of(await valued(self._tools, ctx)))
            more = {tool.name: tool for tool in (*added, extra) if tool is not None}
            return Toolbox({**agent.offered, **more}, agent.output)
        if self._toolbox is None or not _same(self._toolbox.tools, agent.offered):
            self._toolbox = Toolbox(dict(agent.offered), agent.output)
        return self._toolbox

    @property
    def direct(self) -> Direct:
        """The direct mode of the agent."""
        if self._direct is None:
            agent = self._agent
            self._direct = Direct(agent.document.use_cases, agent.offered, self.chooser)
        return self._direct

    async def direct_in(self, ctx: Context) -> Direct:
        """The direct mode of a turn, with the tools that it has."""
        await self._agent.gather()
        if self._tools is None:
            return self.direct
        tools = (await self.toolbox(ctx)).tools
        return Direct(self._agent.document.use_cases, tools, self.chooser)

    @property
    def chooser(self) -> Chooser:
        """What finds use cases."""
        if self._chooser is None:
            self._chooser = Chooser(self._agent.document.use_cases, embedder)
        return self._chooser

    @property
    def state(self) -> State:
        """Where conversations and memory are kept."""
        if self._state is None:
            self._state = self._memory.open(self._agent.name)
        return self._state

    @property
    def history(self) -> History:
        """The conversations."""
        if self._history is None:
            self._history = self._memory.history(self.state, self._agent.name)
        return self._history

    @property
    def choice(self) -> ModelChoice:
        """The model that is asked first, unless it varies by turn."""
        if _varies(self._given):
            return ModelChoice("varies", "chosen each turn")
        return self._chosen(self._given)

    # --- for contexts -----------------------------------------------------------------------------

    async def ask_model(
        self, ctx: Context, prompt: str, *, system: str, model: Any, output: Any
    ) -> Any:
        """A side request: text, or an object of the type `output`."""
        models = await self.models(ctx)
        if model is not None:
            models = Models((await self._opened(model),), budget=self._budget)
        if models is None or models.choices[0].direct:
            raise errors.ModelFailed(
                f"{self._agent.name} has no language model to ask; "
                "set OPENAI_API_KEY or LMOS_MODEL for one"
            )
        aside = Context(
            ctx.turn.but(messages=(Message(role="user", content=prompt),)),
            agent=self._agent.name,
            deps=Dependencies(()),
            state=self.state,
            emit=lambda event: None,
        )
        aside.entities, aside.disguise, aside.watch = ctx.entities, ctx.disguise, ctx.watch
        loop = Loop(models, aside, Toolbox({}, Output(output) if output else None))
        async with aclosing(loop.run(system)) as events:
            async for _ in events:
                pass
        ctx.usage = ctx.usage.plus(loop.spoken.usage)
        return loop.spoken.value if output else loop.restored(loop.spoken.text)

    async def call_agent(self, ctx: Context, agent: Any, text: str) -> str:
        """What another agent answers."""
        found = self._agent.agents.get(agent) if isinstance(agent, str) else agent
        if found is None:
            there = ", ".join(self._agent.agents) or "none"
            raise errors.AgentNotFound(
                f"{self._agent.name} may not call {agent!r}; its agents: {there}"
            )
        turn = ctx.turn.but(messages=(Message(role="user", content=text),), agent=None)
        turn = ctx.watch.continued(turn)
        answer, usage = await team.asked(found, turn, self._agent.name, ctx.passed_on)
        ctx.usage = ctx.usage.plus(usage)
        return answer.content

    async def has_model(self, ctx: Context) -> bool:
        """Whether a language model answers the turn."""
        return await self.models(ctx) is not None

    # --- life -------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Loads what answering needs, so that the first turn does not wait for it."""
        if _varies(self._given):
            return
        if not self.choice.direct:
            _ = self.choice.model
            if self._agent.use_cases:
                with suppress(errors.MissingExtra):  # then the model chooses among all of them
                    await self.chooser.load()
            return
        if self._agent.output is not None:
            raise errors.InvalidInput(
                f"{self._agent.name} answers with an object, which takes a language model, and "
                f"there is none ({self.choice.why})"
            )
        if not self._agent.use_cases:
            log.warning(
                "%s has neither use cases nor a language model (%s): it can answer nothing",
                self._agent.name,
                self.choice.why,
            )
        await self.direct.load()

    async def close(self) -> None:
        """Closes what was opened."""
        self._models = None
        clients, self._clients, self._entered = self._clients, AsyncExitStack(), set()
        await clients.aclose()
        history, self._history = self._history, None
        if history is not None:
            await history.settled()
        state, self._state = self._state, None
        if state is not None and state is not self._memory.state:
            await state.close()

    def forget(self) -> None:
        """The use cases have changed."""
        self._direct = self._chooser = None

    def _chosen(self, spec: Any) -> ModelChoice:
        if not isinstance(spec, str):
            return given(spec)
        if spec not in self._choices:
            self._choices[spec] = resolve_model(spec)
        return self._choices[spec]

    async def _opened(self, spec: Any) -> ModelChoice:
        """The choice, with its provider's connections open until the agent stops; they are bound to
        the event loop. Those of a model that a function makes are that function's.
        """
        choice = self._chosen(spec)
        model = choice.model
        lasting = isinstance(spec, str) or spec is self._given or spec in self._fallbacks
        if model is not None and lasting and id(model) not in self._entered:
            self._entered.add(id(model))
            await self._clients.enter_async_context(model)
        return choice


def _same(some: Mapping[str, Tool], others: Mapping[str, Tool]) -> bool:
    """Whether the tools are the very same ones."""
    return len(some) == len(others) and all(some.get(name) is t for name, t in others.items())


def _varies(spec: Any) -> bool:
    """Whether a model is chosen each turn by a function."""
    return callable(spec) and not hasattr(spec, "request")
