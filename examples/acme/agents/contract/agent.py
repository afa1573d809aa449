"""Contracts: what they contain, how long they run, and how they change."""

from typing import Annotated

from agents.contract.store import Contract, Contracts
from data import Database, who
from pydantic import Field

from lmos import Agent, Context

contract = Agent(
    name="contract-agent",
    version="1.0.3",
    description="Contracts and tariffs: what is included, how long they run, changing them.",
    use_cases="use_cases.md",
    model="auto",
    memory="sqlite",
    deps=[Contracts(Database())],
)


@contract.tool
async def get_contract(ctx: Context) -> Contract:
    """The customer's contract."""
    return ctx.deps(Contracts).of(*who(ctx))


@contract.tool
async def set_address(
    ctx: Context,
    street: Annotated[str, Field(description="What is your new street and house number?")],
    city: Annotated[str, Field(description="And which city is that in?")],
) -> Contract:
    """Changes the address of the customer."""
    return ctx.deps(Contracts).move(*who(ctx), street, city)


@contract.tool
async def cancel_contract(ctx: Context) -> Contract:
    """Cancels the customer's contract at its end."""
    return ctx.deps(Contracts).cancel(*who(ctx))


@contract.tool
async def extend_contract(ctx: Context) -> Contract:
    """Extends the customer's contract by two years."""
    return ctx.deps(Contracts).extend(*who(ctx))
