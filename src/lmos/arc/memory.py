"""What an agent remembers: values by name, for a turn, a conversation, a user or a tenant.

    await ctx.memory.put("plan", "flex", scope="user")
    await ctx.memory.get("plan")
    await ctx.memory.update("visits", lambda n: n + 1, 0, scope="user")

Each agent has a memory of its own. A value is kept for a short term of six hours, or for a long one
until somebody deletes it: conversations' values short and users' and tenants' values long, unless
`term` or `ttl` says otherwise. A turn's values end with the turn, and never leave the process.
"""

import inspect
import os
from collections.abc import Awaitable, Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, overload

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError

from lmos.model import State, Turn, errors
from lmos.state import History, MemoryState, Summarise, note_part, open_state
from lmos.state.history import LIMIT, SIZE, TTL
from lmos.state.keys import conversation_of, escaped, key, unescaped, user_of
from lmos.state.updating import Rivals

T = TypeVar("T")

Scope = Literal["turn", "conversation", "user", "tenant"]
Term = Literal["short", "long"]

#: From narrow to wide, as values are looked for.
SCOPES: tuple[Scope, ...] = ("turn", "conversation", "user", "tenant")
#: Seconds that a value of the short term is kept.
SHORT_TERM = 6 * 3600.0
#: Bytes of JSON kept under one name, and of a name.
MAX_VALUE, MAX_NAME = 1024 * 1024, 200
_TERMS: dict[Scope, Term] = {
    "turn": "short",
    "conversation": "short",
    "user": "long",
    "tenant": "long",
}


@dataclass(frozen=True, slots=True)
class Remembering:
    """Something that happened to a memory, for whoever traces it. `shown` may be logged; `value`
    only if it is not `sensitive`.
    """

    action: Literal["read", "stored", "deleted"]
    name: str
    scope: Scope
    value: Any = field(default=None, repr=False)
    sensitive: bool = False

    @property
    def shown(self) -> Any:
        """The value, or `***` where it is sensitive."""
        return "***" if self.sensitive and self.value is not None else self.value


@dataclass(frozen=True)
class MemorySettings:
    """Where an agent keeps conversations and memory, and how much of a conversation.

    `state` is a spec (`memory`, `sqlite`, `sqlite:PATH`, `redis://...`, `postgresql://...`) or a
    state, which may serve several agents and is closed by who made it. The last `limit` messages
    are kept, of `size` in what `measure` counts (characters by default), for `ttl` seconds after
    the last turn; what was before them lives on in the words of `summarise`.
    """

    state: str | State = "memory"
    limit: int = LIMIT
    size: int = SIZE
    measure: Callable[[str], int] = len
    summarise: Summarise | None = None
    ttl: float = TTL

    @classmethod
    def of(cls, given: "str | State | MemorySettings") -> "MemorySettings":
        """The settings that an agent was given in whichever form."""
        return given if isinstance(given, MemorySettings) else cls(given)

    def open(self, agent: str) -> State:
        """The state. Files are in `LMOS_STATE_DIR`, else in `.lmos/state`, one an agent."""
        if not isinstance(self.state, str):
            return self.state
        directory = Path(os.environ.get("LMOS_STATE_DIR") or ".lmos/state")
        return open_state(self.state, directory, agent)

    def history(self, state: State, agent: str) -> History:
        """The agent's conversations in the state."""
        return History(
            state,
            owner=agent,
            limit=self.limit,
            size=self.size,
            measure=self.measure,
            summarise=self.summarise,
            ttl=self.ttl,
        )


class Memory:
    """An agent's memory, as seen from a turn.

    A user's memory needs a known user: `InvalidInput` else. Tenants, users, conversations and
    agents are kept apart whatever their names hold. `observe` is told what happens.
    """

    def __init__(
        self,
        state: State,
        turn: Turn,
        agent: str,
        *,
        observe: Callable[[Remembering], None] | None = None,
    ) -> None:
        self._state = state
        self._turn = turn
        self._agent = agent
        self._observe = observe or (lambda _: None)
        self._of_turn = MemoryState()

    async def get(self, name: str, default: Any = None, *, scope: Scope | None = None) -> Any:
        """The value kept under the name in the scope, or in the narrowest scope that has one."""
        for place in (scope,) if scope else self._scopes():
            state, full = self._place(name, place)
            kept = _Kept.read(await state.get(full))
            if kept.value is not None:
                self._observe(Remembering("read", name, place, kept.value, kept.sensitive))
                return kept.value
        return default

    async def put(
        self,
        name: str,
        value: Any,
        *,
        scope: Scope = "conversation",
        term: Term | None = None,
        ttl: float | None = None,
        sensitive: bool = False,
    ) -> None:
        """Keeps JSON data, or a pydantic model as such, under the name for the term, or for `ttl`
        seconds. None forgets it. `TooLarge` above `MAX_VALUE`. What is `sensitive` is not logged.
        """
        seconds = _seconds(scope, term, ttl)
        if value is None:
            await self.delete(name, scope=scope)
            return
        state, full = self._place(name, scope)
        kept = _Kept(_plain(name, value), sensitive)
        await self._note(scope, seconds)
        await state.put(full, kept.data(), ttl=seconds)
        await self._stored(name, scope, kept, seconds)

    async def update(
        self,
        name: str,
        function: Callable[[Any], Any],
        default: Any = None,
        *,
        scope: Scope = "conversation",
        term: Term | None = None,
        ttl: float | None = None,
        sensitive: bool | None = None,
    ) -> Any:
        """Replaces the value by what the function, which may be async, makes of it (of `default`
        where there is none), and gives the new one. Where others change it at the same time the
        function is called again, so no change is lost. None forgets the value. `sensitive` stays
        as it is unless given.
        """
        seconds = _seconds(scope, term, ttl)
        state, full = self._place(name, scope)
        rivals = Rivals(f"memory {name!r}")
        await self._note(scope, seconds)
        while True:
            found = await state.get(full)
            kept = _Kept.read(found)
            new = await _called(function, deepcopy(default) if kept.value is None else kept.value)
            hide = kept.sensitive if sensitive is None else sensitive
            kept = _Kept(_plain(name, new), hide)
            try:
                await state.put(
                    full,
                    kept.data(),
                    version=found[1] if found else 0,
                    # what is forgotten leaves a mark for a while, so that others see the change
                    ttl=_MARK if new is None else seconds,
                )
            except errors.Conflict:
                await rivals.let_by()
                continue
            await self._stored(name, scope, kept, seconds)
            return kept.value

    async def delete(self, name: str, *, scope: Scope = "conversation") -> bool:
        """Forgets the value of that scope; whether there was one."""
        state, full = self._place(name, scope)
        there = _Kept.read(await state.get(full)).value is not None
        await state.delete(full)
        if there:
            self._observe(Remembering("deleted", name, scope))
        return there

    async def list(self, scope: Scope = "conversation") -> dict[str, Any]:
        """The names and values kept in the scope, by name."""
        state, prefix = self._place("", scope)
        found: dict[str, Any] = {}
        async for full, data in state.scan(prefix):
            name, kept = unescaped(full.removeprefix(prefix)), _Kept.read((data, 1))
            if kept.value is not None:
                found[name] = kept.value
                self._observe(Remembering("read", name, scope, kept.value, kept.sensitive))
        return found

    def model(self, type_: type[T], name: str, *, scope: Scope = "conversation") -> "Typed[T]":
        """The value of that name and scope as an instance of the type."""
        return Typed(self, type_, name, scope)

    # --- inside -----------------------------------------------------------------------------------

    def _scopes(self) -> tuple[Scope, ...]:
        return tuple(scope for scope in SCOPES if scope != "user" or self._turn.user.id)

    def _place(self, name: str, scope: Scope) -> tuple[State, str]:
        """Where a name of the scope is kept; without a name the prefix of all of them."""
        last = (self._agent, _checked(name))
        match scope:
            case "turn":
                return self._of_turn, escaped(name)
            case "conversation":
                return self._state, conversation_of(self._turn, "memory", *last)
            case "user":
                return self._state, user_of(self._turn.tenant, self._user(), "memory", *last)
            case "tenant":
                return self._state, key("tenant", self._turn.tenant, "memory", *last)
        raise errors.InvalidInput(f"scope {scope!r} is none of {', '.join(SCOPES)}")

    def _user(self) -> str:
        if not self._turn.user.id:
            raise errors.InvalidInput(
                "memory of a user needs to know who the user is, and this turn does not say; "
                "use the scope conversation, or have the application send the user's id"
            )
        return self._turn.user.id

    async def _note(self, scope: Scope, seconds: float | None) -> None:
        """Of a conversation's values it is noted whose they are, so that they can be forgotten."""
        if scope == "conversation":
            await note_part(self._state, self._turn, seconds)

    async def _stored(self, name: str, scope: Scope, kept: "_Kept", seconds: float | None) -> None:
        await self._note(scope, seconds)
        action: Literal["stored", "deleted"] = "deleted" if kept.value is None else "stored"
        self._observe(Remembering(action, name, scope, kept.value, kept.sensitive))


class Typed(Generic[T]):
    """A value of a memory, as an instance of a type that pydantic knows."""

    def __init__(self, memory: Memory, type_: type[T], name: str, scope: Scope) -> None:
        self._memory = memory
        self._type: TypeAdapter[T] = TypeAdapter(type_)
        self._name = name
        self._scope = scope

    @overload
    async def get(self) -> T | None: ...

    @overload
    async def get(self, default: T) -> T: ...

    async def get(self, default: T | None = None) -> T | None:
        """The value. `InvalidInput` when what is kept is not, or no longer, of the type."""
        found = await self._memory.get(self._name, scope=self._scope)
        return default if found is None else self._typed(found)

    async def put(self, value: T, **how: Any) -> None:
        """Keeps the value; `how` is that of `Memory.put`."""
        await self._memory.put(self._name, self._dumped(value), scope=self._scope, **how)

    async def update(self, function: Callable[[T], Any], default: T, **how: Any) -> T:
        """Changes the value as `Memory.update` does; `how` is that of it."""

        async def change(found: Any) -> Any:
            value = default if found is None else self._typed(found)
            return self._dumped(await _called(function, value))

        return self._typed(await self._memory.update(self._name, change, scope=self._scope, **how))

    async def delete(self) -> bool:
        """Forgets the value; whether there was one."""
        return await self._memory.delete(self._name, scope=self._scope)

    def _dumped(self, value: T) -> Any:
        return self._type.dump_python(value, mode="json")

    def _typed(self, found: Any) -> T:
        try:
            return self._type.validate_python(found)
        except ValidationError as error:
            raise errors.InvalidInput(
                f"memory {self._name!r} holds something else than wanted; delete it or read it "
                f"without a type: {error.error_count()} errors, the first at "
                f"{'.'.join(map(str, error.errors()[0]['loc'])) or 'its top'}"
            ) from None


#: Seconds that the mark of a value forgotten in an update stays.
_MARK = 60.0


@dataclass(frozen=True, slots=True)
class _Kept:
    """A value as it is stored."""

    value: Any = None
    sensitive: bool = False

    @classmethod
    def read(cls, found: tuple[Any, int] | None) -> "_Kept":
        return cls(found[0]["value"], found[0].get("sensitive", False)) if found else cls()

    def data(self) -> dict[str, Any]:
        return {"value": self.value} | ({"sensitive": True} if self.sensitive else {})


def _checked(name: str) -> str:
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise errors.InvalidInput(f"the name {name!r} is no text; memory cannot use it") from None
    if length > MAX_NAME:
        raise errors.TooLarge(
            f"a name of {length} bytes is too long for memory; use at most {MAX_NAME}"
        )
    return name


def _seconds(scope: Scope, term: Term | None, ttl: float | None) -> float | None:
    """How long to keep a value; None: until it is deleted."""
    if ttl is not None:
        if term is not None or ttl <= 0:
            raise errors.InvalidInput(
                f"keep a value for a term or for a ttl above 0 seconds, not term={term!r} and "
                f"ttl={ttl}"
            )
        return ttl
    chosen = term or _TERMS.get(scope, "short")
    if chosen not in ("short", "long"):
        raise errors.InvalidInput(f"term {chosen!r} is neither short nor long")
    return SHORT_TERM if chosen == "short" else None


def _plain(name: str, value: Any) -> Any:
    """The value as JSON data that nobody else holds."""
    try:
        data = orjson.dumps(value, default=_of_model)
    except TypeError as error:
        raise errors.InvalidInput(
            f"memory {name!r} cannot keep this: {error}; give it JSON data or a pydantic model"
        ) from None
    if len(data) > MAX_VALUE:
        raise errors.TooLarge(
            f"memory {name!r} would take {len(data)} bytes, and a value may take {MAX_VALUE}; "
            "split it, or keep a reference to it"
        )
    return orjson.loads(data)


def _of_model(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"a {type(value).__name__} is no JSON data")


async def _called(function: Callable[[Any], Any | Awaitable[Any]], value: Any) -> Any:
    result = function(value)
    return await result if inspect.isawaitable(result) else result
