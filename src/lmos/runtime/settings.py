"""How much a runtime takes on, and when it spares an agent, where the operator says so.

Each setting is an environment variable: the field's name in capitals behind `LMOS_CAPACITY_` or
`LMOS_BREAKER_`, such as `LMOS_CAPACITY_TURNS=200` or `LMOS_BREAKER_COOL_DOWN=10`, and
`LMOS_TURN_TIMEOUT`. `LMOS_DECISIONS` (hashed, kept, off) says what the decision log keeps of users'
words, `LMOS_DECISIONS_DAYS` for how long, and `LMOS_SHADOW` which router decides beside which share
of the turns (`llm 0.1`). What is not set keeps its default.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from lmos.model import errors
from lmos.runtime.admission import Capacity
from lmos.runtime.breakers import Limits
from lmos.runtime.decisions import LogSettings, ShadowSettings
from lmos.runtime.decisions.settings import inputs_named

T = TypeVar("T", Capacity, Limits)

#: Fields that 0 means something for.
_MAY_BE_NONE = ("per_tenant", "per_channel", "waiting", "patience")
#: Seconds that a turn may take when its caller sets no deadline.
TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """A runtime's settings; `timeout` is in seconds."""

    capacity: Capacity = field(default_factory=Capacity)
    limits: Limits = field(default_factory=Limits)
    timeout: float = TIMEOUT
    log: LogSettings = field(default_factory=LogSettings)
    shadow: ShadowSettings | None = None

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Settings":
        """The settings of an environment. `InvalidInput` names the variable that is wrong."""
        return cls(
            capacity=_read(Capacity, "LMOS_CAPACITY_", environment),
            limits=_read(Limits, "LMOS_BREAKER_", environment),
            timeout=_number(environment, "LMOS_TURN_TIMEOUT", TIMEOUT),
            log=LogSettings(
                inputs=inputs_named(environment.get("LMOS_DECISIONS", "").strip() or "hashed"),
                days=_number(environment, "LMOS_DECISIONS_DAYS", LogSettings().days),
            ),
            shadow=ShadowSettings.read(environment.get("LMOS_SHADOW", "")),
        )


def _read(kind: type[T], prefix: str, environment: Mapping[str, str]) -> T:
    found = {
        f.name: _number(environment, prefix + f.name.upper(), f.default, f.name in _MAY_BE_NONE)
        for f in fields(kind)
    }
    return kind(**found)


def _number(
    environment: Mapping[str, str], name: str, default: Any, may_be_none: bool = False
) -> Any:
    """The number that the variable holds, of the default's type."""
    text = environment.get(name, "").strip()
    if not text:
        return default
    try:
        found = type(default)(text)
    except ValueError:
        found = -1
    if 0 < found < float("inf") or (found == 0 and may_be_none):
        return found
    kind = "a whole number" if isinstance(default, int) else "a number"
    bound = "0 or more" if may_be_none else "above 0"
    raise errors.InvalidInput(f"{name}={text!r}: it must be {kind}, {bound}")
