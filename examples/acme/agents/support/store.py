"""Lines and outages in the company's data."""

from datetime import date

from data import Database, known
from pydantic import BaseModel


class Line(BaseModel):
    """The line to a customer's home; `outage` is empty when all is well."""

    city: str
    outage: str = ""
    until: date | None = None


class Lines:
    """The lines of every customer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def check(self, tenant: str, customer: str) -> Line:
        """What is known of the line to the customer's home."""
        home = known(
            self._database.row(
                "select city from contracts where tenant = ? and customer = ?", tenant, customer
            ),
            "your line",
        )["city"]
        found = self._database.row(
            "select what, until from outages where tenant = ? and city = ?", tenant, home
        )
        if found is None:
            return Line(city=home)
        return Line(city=home, outage=found["what"], until=found["until"])
