"""Rates and travellers in the company's data."""

from data import Database, known
from pydantic import BaseModel


class Zone(BaseModel):
    """What a country costs: `call`, `data` and a travel `pass_price`."""

    country: str
    zone: str
    call: str
    data: str
    pass_price: str


class Traveller(BaseModel):
    """A customer abroad."""

    roaming: str
    left_mb: int
    country: str = ""


class Rates:
    """The rates of every country."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, country: str) -> Zone:
        """The country's rates."""
        row = known(
            self._database.row("select * from roaming where country = ?", country),
            f"rates for {country}",
        )
        return Zone(**{k: v for k, v in row.items() if k != "pass"}, pass_price=row["pass"])


class Travellers:
    """Every customer abroad."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, tenant: str, customer: str) -> Traveller:
        """The customer's roaming."""
        row = known(
            self._database.row(
                "select * from travellers where tenant = ? and customer = ?", tenant, customer
            ),
            "your roaming",
        )
        return Traveller(roaming=row["roaming"], left_mb=row["left_mb"], country=row["pass"])

    def switch_on(self, tenant: str, customer: str) -> Traveller:
        """Switches roaming on."""
        self._set(tenant, customer, "roaming = 'on'")
        return self.of(tenant, customer)

    def book(self, tenant: str, customer: str, zone: Zone) -> Zone:
        """Books a pass for the zone and switches roaming on."""
        self._set(tenant, customer, "roaming = 'on', pass = ?", zone.country)
        return zone

    def _set(self, tenant: str, customer: str, what: str, *values: str) -> None:
        self._database.change(
            f"update travellers set {what} where tenant = ? and customer = ?",
            *values, tenant, customer,
        )  # fmt: skip
