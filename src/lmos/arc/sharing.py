"""What an agent sees of what others share, as a mapping."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lmos.model import SharedValue
from lmos.model.shared import newest


class Shared(Mapping[str, Any]):
    """The values that the agent may read, by name; of several under one name the newest."""

    def __init__(self, values: Sequence[SharedValue]) -> None:
        self._all = tuple(values)
        self._newest = newest(values)

    def __getitem__(self, name: str) -> Any:
        return self._newest[name].value

    def __iter__(self) -> Iterator[str]:
        return iter(self._newest)

    def __len__(self) -> int:
        return len(self._newest)

    def entry(self, name: str) -> SharedValue:
        """The value with who wrote it, when, and who may read it. `KeyError` when there is none."""
        return self._newest[name]

    @property
    def entries(self) -> tuple[SharedValue, ...]:
        """All values, also those that a newer one of the same name hides."""
        return self._all
