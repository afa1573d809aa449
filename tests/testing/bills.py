"""An agent for the tests of testing."""

from typing import Literal

from lmos import Agent

CASES = """### UseCase: view_bill
#### Description
The customer wants to see a bill.
#### Solution
Call @get_bill().
"Your {{get_bill.month}} bill is {{get_bill.amount}} EUR."
#### Examples
- show me my bill
- how much do I owe

### UseCase: close_account
#### Description
The customer wants to close the account.
#### Steps
- "Really close it? Please answer yes or no."
#### Solution
"It is closed."
#### Examples
- close my account
"""


def billing(model: object = "direct", **options: object) -> Agent:
    agent = Agent(name="billing", use_cases=CASES, model=model, **options)  # type: ignore[arg-type]

    @agent.tool
    async def get_bill(month: Literal["latest", "previous"] = "latest") -> dict[str, str]:
        """The customer's bill of a month."""
        return {"month": month, "amount": {"latest": "42.50", "previous": "39.90"}[month]}

    return agent
