"""Who asks, what they reach, and how much of it.

A request passes three places, whichever protocol it speaks. `protocols.auth.Guard` finds out who
asks, by a tenant's keys and tokens (`Tenants`). `gate` holds every route against that: a path with
a tenant is for that tenant's callers, and a route that says nothing is for operators alone. `Entry`
holds every turn against it once more, because a body or a header may name a tenant too, puts the
verified user in, and counts it against the limits (`Rates`). What is asked of agents then carries
a statement of who the user is, signed by this runtime (`Signer`).
"""

from lmos.runtime.identity.entry import Counts, Entry
from lmos.runtime.identity.gate import (
    Gated,
    for_owners,
    for_users,
    gated,
    open_paths,
    open_to_all,
    shared,
)
from lmos.runtime.identity.rates import Rates, SharedRates
from lmos.runtime.identity.signing import Signer
from lmos.runtime.identity.tenants import Tenants

__all__ = [
    "Counts",
    "Entry",
    "Gated",
    "Rates",
    "SharedRates",
    "Signer",
    "Tenants",
    "for_owners",
    "for_users",
    "gated",
    "open_paths",
    "open_to_all",
    "shared",
]
