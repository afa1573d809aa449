"""What agents share: values by name, each with who wrote it, when, and who may read it."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

import orjson

from lmos.model.base import Model, Tuple
from lmos.model.errors import InvalidInput, TooLarge

#: Whom a value is about: one conversation, one user in all of theirs, or everybody of a tenant.
SharedScope = Literal["conversation", "user", "tenant"]

#: Bytes of JSON of one value and of a name, readers that it may be for.
MAX_SHARED, MAX_NAME, MAX_READERS = 16 * 1024, 100, 20
#: Seconds that a value may be kept at most.
MAX_TTL = 366 * 24 * 3600.0


class SharedValue(Model):
    """A value as it is kept. `agent` is who wrote it, empty for an application, in which turn and
    when. `readers` are agents or capabilities by name; without any, everybody of the channel may
    read it.
    """

    name: str
    value: Any
    scope: SharedScope = "conversation"
    agent: str = ""
    turn_id: str = ""
    at: datetime
    readers: Tuple[str] = ()
    expires: datetime | None = None

    def readable_by(self, agent: str, names: Collection[str]) -> bool:
        """Whether the agent, which goes by these names and capabilities, may read it."""
        own = bool(agent) and self.agent == agent
        return own or not self.readers or any(reader in names for reader in self.readers)


class Share(Model):
    """What an agent wants to share, or with the value None no longer. It is kept under the agent's
    own name: nobody changes what others wrote. `ttl` is in seconds.
    """

    type: Literal["share"] = "share"
    name: str
    value: Any = None
    scope: SharedScope = "conversation"
    readers: Tuple[str] = ()
    ttl: float | None = None

    def by(self, agent: str, turn_id: str) -> SharedValue:
        """The value, shared by the agent in the turn just now."""
        at = datetime.now(UTC)
        return SharedValue(
            name=self.name,
            value=self.value,
            scope=self.scope,
            agent=agent,
            turn_id=turn_id,
            at=at,
            readers=self.readers,
            expires=None if self.ttl is None else at + timedelta(seconds=self.ttl),
        )


def checked(share: Share) -> Share:
    """What is to be shared, its value as JSON data that nobody else holds. `TooLarge` over a
    limit, `InvalidInput` for what cannot be kept.
    """
    if share.scope not in get_args(SharedScope):
        raise InvalidInput(f"scope {share.scope!r} is none of {', '.join(get_args(SharedScope))}")
    if not share.name.strip():
        raise InvalidInput("what is shared needs a name")
    if len(share.name.encode("utf-8", "replace")) > MAX_NAME:
        raise TooLarge(f"the name of what is shared is over {MAX_NAME} bytes", limit=MAX_NAME)
    if len(share.readers) > MAX_READERS or any(len(r) > 256 for r in share.readers):
        raise TooLarge(f"{share.name!r} is for more than {MAX_READERS} readers, or for long names")
    if share.ttl is not None and not 0 < share.ttl <= MAX_TTL:
        raise InvalidInput(f"{share.name!r} is to be kept {share.ttl} s; at most {MAX_TTL:.0f}")
    try:
        orjson.dumps([share.name, share.readers])
        data = orjson.dumps(share.value)
    except TypeError as error:
        raise InvalidInput(
            f"{share.name!r} cannot be shared, it is no JSON data: {error}"
        ) from None
    if len(data) > MAX_SHARED:
        raise TooLarge(
            f"{share.name!r} has {len(data)} bytes, and what is shared may have {MAX_SHARED}; "
            "share a reference to it",
            limit=MAX_SHARED,
        )
    return share.but(value=orjson.loads(data))


def shared_with(values: Iterable[SharedValue], new: SharedValue) -> tuple[SharedValue, ...]:
    """The values with the new one last, in place of what its writer had under its name; without
    that where the new value is None.
    """
    key = (new.scope, new.agent, new.name)
    rest = tuple(v for v in values if (v.scope, v.agent, v.name) != key)
    return rest if new.value is None else (*rest, new)


def newest(values: Sequence[SharedValue]) -> dict[str, SharedValue]:
    """The newest value under each name."""
    return {v.name: v for v in sorted(values, key=lambda v: v.at)}
