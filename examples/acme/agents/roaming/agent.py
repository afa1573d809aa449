"""Roaming and travel."""

from typing import Annotated, Literal

from agents.roaming.store import Rates, Traveller, Travellers, Zone
from data import Database, who
from pydantic import Field

from lmos import Agent, Context
from lmos.arc import Words

database = Database()

roaming = Agent(
    name="roaming-agent",
    version="1.1.0",
    description="Roaming and travel: using the phone abroad, what it costs, travel passes.",
    use_cases="use_cases.md",
    model="auto",
    memory="sqlite",
    deps=[Rates(database), Travellers(database)],
)

Country = Annotated[
    Literal[
        "Spain", "France", "Italy", "Norway", "Switzerland", "Turkey", "USA", "Canada", "Japan"
    ],
    Words(USA=("us", "united states", "america"), Switzerland=("swiss",), Turkey=("turkish",)),
    Field(description="Which country are you travelling to?"),
]


@roaming.tool
async def get_rates(ctx: Context, country: Country) -> Zone:
    """What calls and data cost in a country."""
    return ctx.deps(Rates).of(country)


@roaming.tool
async def book_pass(ctx: Context, country: Country) -> Zone:
    """Books a travel pass for a country."""
    return ctx.deps(Travellers).book(*who(ctx), ctx.deps(Rates).of(country))


@roaming.tool
async def switch_on(ctx: Context) -> Traveller:
    """Switches roaming on for the customer."""
    return ctx.deps(Travellers).switch_on(*who(ctx))


@roaming.tool
async def get_usage(ctx: Context) -> Traveller:
    """How much data the customer has left abroad."""
    return ctx.deps(Travellers).of(*who(ctx))
