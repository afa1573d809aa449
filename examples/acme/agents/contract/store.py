"""Contracts in the company's data."""

from datetime import date

from data import Database, known
from pydantic import BaseModel


class Contract(BaseModel):
    """A contract."""

    tariff: str
    data_gb: int
    fee: str
    ends: date
    notice: str
    street: str
    city: str
    status: str


class Contracts:
    """The contracts of every customer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, tenant: str, customer: str) -> Contract:
        """The customer's contract."""
        row = known(
            self._database.row(
                "select * from contracts where tenant = ? and customer = ?", tenant, customer
            ),
            "a contract",
        )
        return Contract(**{**row, "fee": f"{row['fee']} {row['currency']}"})

    def move(self, tenant: str, customer: str, street: str, city: str) -> Contract:
        """Sets the address."""
        return self._set(tenant, customer, "street = ?, city = ?", street, city)

    def cancel(self, tenant: str, customer: str) -> Contract:
        """Ends the contract at the end of its term."""
        return self._set(tenant, customer, "status = 'cancelled'")

    def extend(self, tenant: str, customer: str) -> Contract:
        """Lets the contract run two years longer."""
        return self._set(tenant, customer, "ends = date(ends, '+2 years'), status = 'active'")

    def _set(self, tenant: str, customer: str, what: str, *values: str) -> Contract:
        self._database.change(
            f"update contracts set {what} where tenant = ? and customer = ?",
            *values, tenant, customer,
        )  # fmt: skip
        return self.of(tenant, customer)
