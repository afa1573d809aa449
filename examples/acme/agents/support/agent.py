"""Technical support."""

from typing import Annotated

from agents.support.store import Line, Lines
from data import Database, who
from pydantic import Field

from lmos import Agent, Context

support = Agent(
    name="support-agent",
    version="1.4.0",
    description="Technical support: internet, router, mobile network and SIM card.",
    use_cases="use_cases.md",
    model="auto",
    memory="sqlite",
    deps=[Lines(Database())],
)


@support.tool
async def check_line(ctx: Context) -> Line:
    """Whether an outage is known where the customer lives."""
    return ctx.deps(Lines).check(*who(ctx))


@support.tool
async def unlock_sim(
    ctx: Context,
    birthday: Annotated[
        str,
        Field(
            pattern=r"\d{1,2}\.\d{1,2}\.\d{4}",
            description="What is your date of birth, such as 24.12.1990?",
        ),
    ],
) -> str:
    """The PUK of the customer's SIM card, for whoever knows the date of birth."""
    return "1234 5678"
