"""The company's data: one SQLite file beside the platform's state, filled from `telecom.sql`.

Every query takes the tenant, so no tenant sees another's rows. A visitor who has not said who they
are is the tenant's demo customer.
"""

import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from lmos import Context
from lmos.model import LmosError

DEMO_CUSTOMERS = {"acme": "a-1001", "globex": "g-2001"}


class Database:
    """The data, as rows of plain values."""

    def __init__(self) -> None:
        folder = Path(os.environ.get("LMOS_STATE_DIR") or ".lmos/state")
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = Lock()
        self._connection = sqlite3.connect(
            folder / "telecom.db", timeout=10, isolation_level=None, check_same_thread=False
        )
        self._connection.row_factory = sqlite3.Row
        self._connection.executescript((Path(__file__).parent / "telecom.sql").read_text())

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """All rows of a query."""
        with self._lock:
            return [dict(row) for row in self._connection.execute(query, values)]

    def row(self, query: str, *values: Any) -> dict[str, Any] | None:
        """The first row of a query, if there is one."""
        found = self.rows(query, *values)
        return found[0] if found else None

    def change(self, query: str, *values: Any) -> int:
        """Changes rows and gives their number."""
        with self._lock:
            return self._connection.execute(query, values).rowcount


def who(ctx: Context) -> tuple[str, str]:
    """Tenant and customer of the turn."""
    tenant = ctx.tenant or "acme"
    return tenant, ctx.user.id or DEMO_CUSTOMERS.get(tenant, "")


def known(row: Mapping[str, Any] | None, what: str) -> Mapping[str, Any]:
    """The row, or an error that can be told to the customer."""
    if row is None:
        raise LmosError(f"I cannot find {what} for you")
    return row
