"""Resources in memory, with the semantics of a Kubernetes API server."""

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

from lmos.model import KINDS, Change, Key, Resource, errors
from lmos.model.resources import R
from lmos.store.fields import Owned, applied, merged

#: Changes kept for watchers that resume; older versions are `Gone`.
LOG_LENGTH = 10_000


class _Entry:
    """A resource with who owns which of its fields."""

    __slots__ = ("owned", "resource")

    def __init__(self, resource: Resource, owned: Owned) -> None:
        self.resource = resource
        self.owned = owned


class MemoryStore:
    """A `Store` in memory."""

    def __init__(
        self, *, now: Callable[[], datetime] | None = None, log_length: int = LOG_LENGTH
    ) -> None:
        self._now = now or (lambda: datetime.now(UTC))
        self._entries: dict[Key, _Entry] = {}
        self._version = 0
        self._log: deque[Change] = deque(maxlen=log_length)
        self._changed = asyncio.Event()

    # --- the seam ---------------------------------------------------------------------------------

    async def list(
        self, kind: type[R], selector: Mapping[str, str] | None = None
    ) -> tuple[list[R], str]:
        """All of the kind whose labels include `selector`, by name, and the store's version."""
        wanted = (selector or {}).items()
        found = [
            entry.resource
            for key, entry in self._entries.items()
            if key.kind == kind.__name__ and wanted <= entry.resource.metadata.labels.items()
        ]
        found.sort(key=lambda r: (r.metadata.namespace, r.name))
        return cast("list[R]", found), str(self._version)

    async def get(self, kind: type[R], name: str, namespace: str = "default") -> R | None:
        """The resource, or None."""
        entry = self._entries.get(Key(kind=kind.__name__, namespace=namespace, name=name))
        return cast(R, entry.resource) if entry else None

    async def watch(self, kind: type[Resource], version: str) -> AsyncIterator[Change]:
        """Every change of the kind after `version`, in order."""
        seen = int(version)
        while True:
            if self._log and seen < int(self._log[0].version) - 1:
                raise errors.Gone(f"version {seen} is no longer kept; list again")
            for change in [c for c in self._log if int(c.version) > seen]:
                seen = int(change.version)
                if change.resource.kind == kind.__name__:
                    yield change
            if seen < self._version:
                continue
            await self._next()

    async def apply(self, resource: R, owner: str, *, force: bool = False) -> R:
        """Server-side apply; see `Store.apply`."""
        return cast(R, self._take(resource, owner, force=force))

    async def patch_status(self, resource: R) -> R:
        """Replaces the status."""
        entry = self._entries.get(resource.key)
        if entry is None:
            raise errors.NotFound(f"there is no {resource.key}")
        status = resource.status  # type: ignore[attr-defined]
        if entry.resource.status != status:  # type: ignore[attr-defined]
            entry.resource = self._stamped(entry.resource.but(status=status))
            self._record("modified", entry.resource)
        return cast(R, entry.resource)

    async def delete(self, key: Key) -> None:
        """Removes the resource and what it owns."""
        if key not in self._entries:
            raise errors.NotFound(f"there is no {key}")
        self._guard(key)
        self._remove(key)

    # --- inside -----------------------------------------------------------------------------------

    def _guard(self, key: Key) -> None:
        """Raises when the resource may not be removed; here it always may."""

    def _remove(self, key: Key) -> None:
        gone = self._entries.pop(key).resource
        self._record("deleted", self._stamped(gone))
        for owned in [k for k, e in self._entries.items() if _owned_by(e.resource, gone)]:
            self._remove(owned)

    def _take(self, resource: Resource, owner: str, *, force: bool = True) -> Resource:
        """The owner says what the fields of its own are from now on."""
        entry = self._entries.get(resource.key)
        tree = _applied_form(resource)
        owned = applied(entry.owned if entry else {}, owner, tree, force=force)
        return self._settle(resource.key, owned)

    def _settle(self, key: Key, owned: Owned) -> Resource:
        """Makes the stored resource what its owners say; records a change where there is one."""
        entry = self._entries.get(key)
        before = entry.resource if entry else None
        resource = self._built(key, owned, before)
        if before is not None and entry is not None:
            entry.owned = owned
            if _same(resource, before):
                return before
        stamped = self._stamped(resource)
        self._entries[key] = _Entry(stamped, owned)
        self._record("modified" if before else "added", stamped)
        return stamped

    def _built(self, key: Key, owned: Owned, before: Resource | None) -> Resource:
        tree = merged(owned)
        kind = KINDS[key.kind]
        metadata = {"name": key.name, "namespace": key.namespace, **tree.get("metadata", {})}
        spec = {"spec": tree["spec"]} if "spec" in tree else {}
        made = kind.model_validate({"kind": key.kind, "metadata": metadata, **spec})
        if before is None:
            fresh = {"generation": 1, "uid": str(uuid.uuid4()), "creation_timestamp": self._now()}
            return made.but(metadata=made.metadata.but(**fresh))
        spec_changed = made.spec != before.spec  # type: ignore[attr-defined]
        kept = {
            "generation": before.metadata.generation + spec_changed,
            "uid": before.metadata.uid,
            "creation_timestamp": before.metadata.creation_timestamp,
        }
        status = before.status  # type: ignore[attr-defined]
        return made.but(metadata=made.metadata.but(**kept), status=status)

    def _stamped(self, resource: Resource) -> Resource:
        self._version += 1
        return resource.but(metadata=resource.metadata.but(resource_version=str(self._version)))

    def _record(self, type_: Any, resource: Resource) -> None:
        self._log.append(Change(type_, resource, resource.metadata.resource_version))
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _next(self) -> None:
        await self._changed.wait()


def _applied_form(resource: Resource) -> dict[str, Any]:
    """The fields that the applier gave, and only those: labels, annotations, owners, spec."""
    given = resource.model_dump(mode="json", by_alias=True, exclude_unset=True)
    metadata = given.get("metadata", {})
    kept = {k: metadata[k] for k in ("labels", "annotations", "ownerReferences") if k in metadata}
    return {"metadata": kept, "spec": given.get("spec", {})}


def _same(a: Resource, b: Resource) -> bool:
    return a == b.but(metadata=b.metadata.but(resource_version=a.metadata.resource_version))


def _owned_by(resource: Resource, owner: Resource) -> bool:
    return any(
        ref.get("uid") == owner.metadata.uid for ref in resource.metadata.owner_references
    ) and bool(owner.metadata.uid)
