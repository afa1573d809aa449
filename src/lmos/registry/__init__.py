"""Who is there: what agents say of themselves, whether they answer, and how to find them.

`describe` and `probe` ask an agent at its address; the control plane calls them and writes what
they find into the store. `Registry` searches what is there.
"""

from lmos.protocols.describing import describe, probe
from lmos.registry.search import Registry

__all__ = ["Registry", "describe", "probe"]
