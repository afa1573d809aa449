"""Making a store say what somebody else says."""

from collections.abc import Iterable

from lmos.model import KINDS, Key, Resource
from lmos.store import MemoryStore

OWNER = "source"


async def put(store: MemoryStore, resource: Resource) -> None:
    """The resource as it is elsewhere, its status included."""
    await store.apply(resource, OWNER, force=True)
    await store.patch_status(resource)


async def replace(
    store: MemoryStore, resources: Iterable[Resource], kinds: Iterable[type[Resource]]
) -> None:
    """All resources of the kinds. Nobody sees the store in between: nothing here waits."""
    wanted = {resource.key: resource for resource in resources}
    for kind in kinds:
        found, _ = await store.list(kind)
        for resource in found:
            if resource.key not in wanted:
                await remove(store, resource.key)
    for resource in wanted.values():
        await put(store, resource)


async def remove(store: MemoryStore, key: Key) -> None:
    """Forgets the resource, if it is there."""
    if await store.get(KINDS[key.kind], key.name, key.namespace) is not None:
        await store.delete(key)
