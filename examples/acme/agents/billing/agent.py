"""Bills and payments."""

from typing import Annotated, Literal

from agents.billing.store import Bill, Bills, Payments
from data import Database, who

from lmos import Agent, Context
from lmos.arc import Words

database = Database()

billing = Agent(
    name="billing-agent",
    version="1.2.0",
    description="Bills, payments and invoices of private customers.",
    use_cases="use_cases.md",
    model="auto",
    memory="sqlite",
    deps=[Bills(database), Payments(database)],
)

Month = Annotated[
    Literal["latest", "previous"],
    Words(
        latest=("newest", "current", "this month"),
        previous=("month before", "last month", "the one before", "earlier", "older"),
    ),
]
Method = Annotated[
    Literal["direct debit", "card", "invoice"],
    Words({"direct debit": ("bank account", "iban", "debit"), "card": ("credit card",)}),
]


@billing.tool
async def get_bill(ctx: Context, month: Month = "latest") -> Bill:
    """The customer's bill of a month, with amount and due date."""
    return ctx.deps(Bills).of(*who(ctx), month)


@billing.tool
async def pay_bill(ctx: Context) -> Bill:
    """Pays the latest bill by the customer's payment method."""
    return ctx.deps(Bills).pay(*who(ctx))


@billing.tool
async def get_payment_method(ctx: Context) -> str:
    """How the customer pays."""
    return ctx.deps(Payments).method(*who(ctx))


@billing.tool
async def set_payment_method(ctx: Context, method: Method) -> str:
    """Changes how the customer pays.

    Args:
        method: How would you like to pay: direct debit, card or invoice?
    """
    return ctx.deps(Payments).change(*who(ctx), method)


@billing.output_filter
def no_account_numbers(ctx: Context, text: str) -> str:
    """No account number leaves this agent whole."""
    return ctx.mask_ibans(text)
