"""Accounts: a specialist, which knows when a person should answer."""

from lmos import Agent
from lmos.arc import HandOver

account = Agent(
    name="account-agent",
    version="1.0.0",
    description="Accounts, passwords and complaints.",
    use_cases="use_cases.md",
    model="auto",
)


@account.tool
async def call_a_colleague() -> str:
    """Leaves the conversation to a person."""
    raise HandOver("human", reason="the customer wants to complain")
