"""Where resources live.

`MemoryStore` keeps them in memory with the semantics of a Kubernetes API server; `DirectoryStore`
adds a directory of manifests that it reads and watches. Both implement `lmos.model.Store`, all that
anybody above knows; `Following` says when to look at one again. `manifests` reads the files, with
positions.
"""

from lmos.store.directory import DirectoryStore
from lmos.store.following import Following
from lmos.store.memory import MemoryStore

__all__ = ["DirectoryStore", "Following", "MemoryStore"]
