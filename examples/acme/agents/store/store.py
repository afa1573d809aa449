"""Stores in the company's data."""

from data import Database, known
from pydantic import BaseModel


class Shop(BaseModel):
    """A store."""

    city: str
    street: str
    weekdays: str
    saturday: str
    repairs: bool


class Shops:
    """Every store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def at(self, tenant: str, city: str) -> Shop:
        """The tenant's store in the city."""
        found = self._database.row(
            "select * from stores where tenant = ? and city = ?", tenant, city
        )
        return Shop(**known(found, f"a store in {city}"))
