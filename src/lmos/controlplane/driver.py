"""The one place where the control plane waits, retries and writes.

Every kind is listed and watched; what changes puts keys into one queue. A key is worked on by one
worker at a time, as often as it was put there meanwhile: once more. A reconciler compares what is
with what should be, whatever the change was, so nothing depends on the order of events and nothing
is lost when several come at once. One that fails is called again after a growing pause, for ever;
other keys go on.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from lmos.model import Key, Resource, Store, errors

log = logging.getLogger("lmos.controlplane")

FIRST_BACK_OFF = 0.2
LAST_BACK_OFF = 300.0


class Reconciler(Protocol):
    """Makes one resource what it should be. `kinds` are watched; `keys_for` says whose turn it is
    after a change; `reconcile` gives the seconds after which to come again, or None.
    """

    kinds: Sequence[type[Resource]]

    async def keys_for(self, resource: Resource) -> Iterable[Key]:
        """The keys to reconcile after the resource changed."""
        ...

    async def reconcile(self, key: Key) -> float | None:
        """Makes it so. Raising means again later."""
        ...


@dataclass
class Counters:
    """What the driver has done, for metrics."""

    reconciled: int = 0
    failed: int = 0
    relisted: int = 0


@dataclass
class _Work:
    """A key's place in the queue."""

    again: bool = False
    failures: int = 0
    timer: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class Driver:
    """Runs reconcilers over a store while it is entered. `workers` keys are worked on at once."""

    def __init__(
        self,
        store: Store,
        reconcilers: Sequence[Reconciler],
        *,
        workers: int = 8,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.counters = Counters()
        self._store = store
        self._reconcilers = reconcilers
        self._slots = asyncio.Semaphore(workers)
        self._jitter = jitter
        self._work: dict[tuple[int, Key], _Work] = {}
        self._watches: list[asyncio.Task[None]] = []
        self._idle = asyncio.Event()
        self._idle.set()

    async def __aenter__(self) -> Self:
        for number, reconciler in enumerate(self._reconcilers):
            for kind in reconciler.kinds:
                self._watches.append(asyncio.create_task(self._follow(number, kind)))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        running = [w.task for w in self._work.values() if w.task]
        for work in self._work.values():
            if work.timer:
                work.timer.cancel()
        for task in (*self._watches, *running):
            task.cancel()
        await asyncio.gather(*self._watches, *running, return_exceptions=True)

    def enqueue(self, number: int, key: Key) -> None:
        """Puts a key in the queue of reconciler `number`, if it is not waiting there already."""
        work = self._work.setdefault((number, key), _Work())
        if work.timer:
            work.timer.cancel()
            work.timer = None
        if work.task:
            work.again = True
            return
        self._idle.clear()
        work.task = asyncio.create_task(self._run(number, key, work))

    async def idle(self) -> None:
        """Returns when no key is being worked on (timers may still be waiting)."""
        await self._idle.wait()

    # --- watching ---------------------------------------------------------------------------------

    async def _follow(self, number: int, kind: type[Resource]) -> None:
        """Lists, then watches; starts over when the version is gone or the store fails."""
        failures = 0
        while True:
            try:
                found, version = await self._store.list(kind)
                for resource in found:
                    await self._changed(number, resource)
                failures = 0
                async with aclosing(self._store.watch(kind, version)) as changes:  # type: ignore[type-var]
                    async for change in changes:
                        await self._changed(number, change.resource)
            except errors.Gone:
                self.counters.relisted += 1
            except Exception:
                log.exception("watching %s failed", kind.__name__)
                failures += 1
                await asyncio.sleep(self._back_off(failures))

    async def _changed(self, number: int, resource: Resource) -> None:
        for key in await self._reconcilers[number].keys_for(resource):
            self.enqueue(number, key)

    # --- working ----------------------------------------------------------------------------------

    async def _run(self, number: int, key: Key, work: _Work) -> None:
        pause: float | None = None
        while True:
            work.again = False
            async with self._slots:
                pause = await self._once(self._reconcilers[number].reconcile, key, work)
            if not work.again:
                break
        work.task = None
        if pause is None:
            self._work.pop((number, key), None)
        else:
            loop = asyncio.get_running_loop()
            work.timer = loop.call_later(pause, self.enqueue, number, key)
        if not any(w.task for w in self._work.values()):
            self._idle.set()

    async def _once(
        self, reconcile: Callable[[Key], Awaitable[float | None]], key: Key, work: _Work
    ) -> float | None:
        """One call, and the pause until the next."""
        try:
            pause = await reconcile(key)
        except Exception as error:
            work.failures += 1
            self.counters.failed += 1
            pause = self._back_off(work.failures)
            expected = isinstance(error, errors.LmosError)
            log.warning("%s: %s; again in %.1f s", key, error, pause, exc_info=not expected)
        else:
            work.failures = 0
            self.counters.reconciled += 1
        return pause

    def _back_off(self, failures: int) -> float:
        pause: float = min(FIRST_BACK_OFF * 2 ** min(failures - 1, 20), LAST_BACK_OFF)
        return pause * (0.75 + 0.5 * self._jitter())
