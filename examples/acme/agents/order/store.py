"""Orders in the company's data."""

from datetime import date

from data import Database, known
from pydantic import BaseModel

from lmos.model import LmosError


class Order(BaseModel):
    """An order."""

    number: int
    item: str
    status: str
    arrives: date
    address: str


class Orders:
    """The orders of every customer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, tenant: str, customer: str) -> list[Order]:
        """The customer's orders, by number."""
        found = self._database.rows(
            "select * from orders where tenant = ? and customer = ? order by number",
            tenant,
            customer,
        )
        return [Order(**row) for row in found]

    def one(self, tenant: str, customer: str, number: int) -> Order:
        """An order of the customer's."""
        found = self._database.row(
            "select * from orders where tenant = ? and customer = ? and number = ?",
            tenant, customer, number,
        )  # fmt: skip
        return Order(**known(found, f"an order {number}"))

    def cancel(self, tenant: str, customer: str, number: int) -> Order:
        """Cancels the order, unless it has arrived."""
        order = self.one(tenant, customer, number)
        if order.status == "delivered":
            raise LmosError(f"order {number} has been delivered already; you can return it")
        self._database.change(
            "update orders set status = 'cancelled' where tenant = ? and number = ?", tenant, number
        )
        return self.one(tenant, customer, number)
