"""How values are written, and what is said when one cannot be."""

from typing import Any

import orjson

from lmos.model import errors


def dumped(key: str, value: Any) -> bytes:
    """The value as JSON. `InvalidInput` says why when it is none."""
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise errors.InvalidInput(
            f"the value for {key} cannot be kept, it is no JSON data: {error}"
        ) from None


def stale(key: str, wanted: int, present: int) -> errors.Conflict:
    """The error for a write over a version that is no longer the present one."""
    return errors.Conflict(
        f"{key} is at version {present}, not {wanted}; read it again and repeat the change"
    )
