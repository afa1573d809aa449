"""The concierge: a generalist, who answers when nobody else is meant."""

from lmos import Agent

concierge = Agent(
    name="concierge-agent",
    version="1.0.0",
    description="Greetings and small talk.",
    use_cases="use_cases.md",
    model="auto",
)
