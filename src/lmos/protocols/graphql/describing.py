"""Telling an agent behind ARC's GraphQL by what only such a server answers.

Its card, `/.well-known/agent.json` in the shape of A2A before 1.0, says what the agent can do but
not how to ask it: `url` is empty there. So the server is asked for the names of its agents.
"""

import asyncio
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field

from lmos.model import Capability, Description, Model
from lmos.model.base import Tuple
from lmos.model.errors import AgentFailed, AgentUnavailable, InvalidInput
from lmos.protocols import calls, limits
from lmos.protocols.graphql.client import base_of
from lmos.protocols.graphql.server import PATH

CARD = "/.well-known/agent.json"
QUERY = "{ agent { names } }"


class Skill(Model):
    """Something an agent can do."""

    id: str = ""
    name: str = ""
    description: str | None = None
    examples: Tuple[str] = ()


class Card(Model):
    """The card, as far as it matters here."""

    name: str = Field(min_length=1)
    version: str = ""
    description: str = ""
    skills: Tuple[Skill] = ()


async def describe(url: str) -> Description:
    """The agent at the URL as its server and its card describe it; a fragment names one of several.
    `AgentUnavailable` when it does not answer, `AgentFailed` when it is not ARC's GraphQL.
    """
    base, asked = base_of(url), urlsplit(url).fragment
    names = await _names(base)
    if asked and asked not in names:
        raise AgentFailed(f"{base} has no agent {asked!r}; it has {', '.join(names)}")
    card = await _card(base)
    version = card.version or "1.0.0"
    return Description(
        name=asked or card.name,
        version=card.version,
        description=card.description,
        capabilities=tuple(
            Capability(
                id=skill.id,
                name=skill.name or skill.id,
                version=version,
                description=skill.description or "",
                examples=skill.examples,
            )
            for skill in card.skills
        ),
        url=base + (f"#{asked}" if asked else ""),
        protocol="graphql",
        source=f"{base}{CARD}, {base}{PATH}",
    )


async def _names(base: str) -> list[str]:
    who = f"the agent at {base}"
    try:
        async with (
            asyncio.timeout(calls.DOCUMENT_TIME),
            calls.request("POST", base + PATH, who=who, body={"query": QUERY}) as response,
        ):
            found: Any = await calls.read_object(response, who)
    except TimeoutError:
        raise AgentUnavailable(f"{who} took longer than {calls.DOCUMENT_TIME:g} s") from None
    data = found.get("data")
    agent = data.get("agent") if isinstance(data, dict) else None
    names = agent.get("names") if isinstance(agent, dict) else None
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise AgentFailed(f"{who} does not tell the names of its agents at {PATH}")
    return names


async def _card(base: str) -> Card:
    who = f"the agent at {base}"
    data = await calls.document(base + CARD, who)
    try:
        return limits.parsed(Card, data)
    except InvalidInput as error:
        raise AgentFailed(f"{who} has a card that cannot be used: {error}") from None
