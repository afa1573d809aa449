"""Finding a store and what it does."""

from typing import Annotated, Literal

from agents.store.store import Shop, Shops
from data import Database, who
from pydantic import Field

from lmos import Agent, Context
from lmos.arc import Words

store = Agent(
    name="store-agent",
    version="1.0.0",
    description="Stores: where they are, when they are open, appointments and repairs.",
    use_cases="use_cases.md",
    model="auto",
    memory="sqlite",
    deps=[Shops(Database())],
)

City = Annotated[
    Literal[
        "Berlin", "Bonn", "Cologne", "Hamburg", "Munich", "Frankfurt", "Leipzig", "Springfield"
    ],
    Words(Cologne=("köln", "koeln"), Munich=("münchen", "muenchen")),
    Field(description="Which city are you in?"),
]


@store.tool
async def get_shop(ctx: Context, city: City) -> Shop:
    """The store in a city."""
    return ctx.deps(Shops).at(who(ctx)[0], city)
