"""Following a store for those who read all of it again whenever something has changed."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

from lmos.model import Resource, Store, errors


class Following:
    """Watches kinds of a store, and says when to look again."""

    def __init__(self, store: Store, *kinds: type[Resource]) -> None:
        self._store = store
        self._kinds = kinds
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def changes(self) -> AsyncGenerator[None, None]:
        """Once at first, then again after changes; several that come together count as one.
        Leaving the generator ends the watching.
        """
        self._tasks = [asyncio.create_task(self._watch(kind)) for kind in self._kinds]
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                yield
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def pending(self) -> bool:
        """Whether something has changed that was not looked at yet."""
        return self._changed.is_set()

    def again(self) -> None:
        """Something went wrong with looking: count it as a change."""
        self._changed.set()

    async def _watch(self, kind: type[Resource]) -> None:
        while True:
            _, version = await self._store.list(kind)
            self._changed.set()
            with contextlib.suppress(errors.Gone):  # list again, and count that as a change
                async with aclosing(self._store.watch(kind, version)) as found:  # type: ignore[type-var]
                    async for _change in found:
                        self._changed.set()
