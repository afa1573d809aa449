"""Orders: placing, tracking, changing, returning."""

from typing import Annotated

from agents.order.store import Order, Orders
from data import Database, who
from pydantic import Field

from lmos import Agent, Context

order = Agent(
    name="order-agent",
    version="2.1.0",
    description="Orders and deliveries: buying devices, tracking, changing and returning orders.",
    use_cases="use_cases.md",
    model="auto",
    memory="sqlite",
    deps=[Orders(Database())],
)

Number = Annotated[
    int,
    Field(ge=1000, le=99999, description="What is the number of your order? It has four digits."),
]


@order.tool
async def list_orders(ctx: Context, number: Number | None = None) -> list[Order]:
    """The customer's orders, or the one of that number."""
    orders = ctx.deps(Orders).all(*who(ctx))
    return [order for order in orders if number in (None, order.number)]


@order.tool
async def get_order(ctx: Context, number: Number) -> Order:
    """An order by its number."""
    return ctx.deps(Orders).one(*who(ctx), number)


@order.tool
async def cancel_order(ctx: Context, number: Number) -> Order:
    """Cancels an order that has not been delivered."""
    return ctx.deps(Orders).cancel(*who(ctx), number)
