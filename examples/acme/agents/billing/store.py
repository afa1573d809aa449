"""Bills and payment methods in the company's data."""

from datetime import date
from decimal import Decimal
from typing import Any

from data import Database, known
from pydantic import BaseModel


class Bill(BaseModel):
    """A month's bill; `which` is latest or previous."""

    which: str
    amount: str
    due: date
    status: str
    reason: str


class Bills:
    """The bills of every customer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, tenant: str, customer: str, month: str = "latest") -> Bill:
        """The latest bill, or the one before it."""
        found = self._database.row(
            "select * from bills where tenant = ? and customer = ?"
            " order by month desc limit 1 offset ?",
            tenant, customer, 0 if month == "latest" else 1,
        )  # fmt: skip
        return _bill(known(found, "a bill"), month)

    def pay(self, tenant: str, customer: str) -> Bill:
        """Marks the latest bill as paid."""
        bill = self.of(tenant, customer)
        self._database.change(
            "update bills set status = 'paid' where tenant = ? and customer = ? and due = ?",
            tenant, customer, bill.due.isoformat(),
        )  # fmt: skip
        return bill


class Payments:
    """How customers pay."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def method(self, tenant: str, customer: str) -> str:
        """The payment method."""
        found = self._database.row(
            "select method from payment_methods where tenant = ? and customer = ?", tenant, customer
        )
        return str(known(found, "a payment method")["method"])

    def change(self, tenant: str, customer: str, method: str) -> str:
        """Sets the payment method and gives it back."""
        self._database.change(
            "insert into payment_methods values (?, ?, ?)"
            " on conflict do update set method = excluded.method",
            tenant, customer, method,
        )  # fmt: skip
        return method


def _bill(row: Any, which: str) -> Bill:
    amount = f"{Decimal(row['amount']):.2f} {row['currency']}"
    fields = {name: row[name] for name in ("due", "status", "reason")}
    return Bill(which=which, amount=amount, **fields)
