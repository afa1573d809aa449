"""Reading what an agent says of itself, whichever documents it offers.

`/.well-known/capabilities.json` tells capabilities with versions, tenants and channels; the A2A
card tells how to send turns. Either alone is enough: a card's skills are capabilities in the
version of the agent, and an agent with capabilities alone is asked over A2A at its base address.
Where no card of A2A 1.0 is found, the address is asked whether it is an agent of ARC: one that
tells the names of its agents over GraphQL is, and is asked over GraphQL from then on.
"""

import asyncio
from urllib.parse import urlsplit

from lmos.model import Description, LmosError, errors
from lmos.model.errors import AgentUnavailable
from lmos.protocols import a2a, graphql, http
from lmos.protocols import lmos as lmos_protocol

TIMEOUT = 5.0


async def describe(url: str) -> Description:
    """The description of the agent at a base URL; see `lmos.model.Describe`."""
    _check(url)
    card, document = await asyncio.gather(
        a2a.describe(url), lmos_protocol.describe(url), return_exceptions=True
    )
    for found in (card, document):
        if isinstance(found, BaseException) and not isinstance(found, LmosError):
            raise found
    if isinstance(card, Description) and isinstance(document, Description):
        return _both(document, card)
    if isinstance(card, Description):
        return card
    assert isinstance(card, LmosError)
    if (arc := await _arc(url, card)) is not None:
        return arc if isinstance(document, BaseException) else _both(document, arc)
    if isinstance(document, Description):
        return document
    assert isinstance(document, LmosError)
    raise _worse(card, document, url)


def _both(document: Description, card: Description) -> Description:
    """What the agent can do by its document, and how to ask it by its card."""
    return document.but(
        url=card.url,
        protocol=card.protocol,
        version=document.version or card.version,
        source=f"{document.source}, {card.source}",
    )


async def _arc(url: str, without_card: LmosError) -> Description | None:
    """The description of an agent of ARC, None when it is not one."""
    if isinstance(without_card, AgentUnavailable):
        return None
    try:
        return await graphql.describe(url)
    except LmosError:
        return None


async def probe(url: str) -> None:
    """Returns when the agent at the base URL answers HTTP at all (below 500); raises
    `AgentUnavailable` with the reason otherwise.
    """
    import aiohttp

    _check(url)
    address = url.rstrip("/") + "/health/ready"
    try:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        async with http.session().get(address, timeout=timeout, allow_redirects=False) as response:
            if response.status >= 500:
                raise AgentUnavailable(f"{address} answers {response.status}")
    except TimeoutError:
        raise AgentUnavailable(f"{address} did not answer within {TIMEOUT:.0f} s") from None
    except aiohttp.ClientError as error:
        raise AgentUnavailable(f"{address} cannot be reached: {error}") from None


def _check(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise errors.AgentFailed(f"{url!r} is no address; write such as http://host:8080")


def _worse(card: LmosError, document: LmosError, url: str) -> LmosError:
    """What to say when neither document is of use: unreachable only if both are."""
    if isinstance(card, AgentUnavailable) and isinstance(document, AgentUnavailable):
        return document
    reasons = dict.fromkeys(error.message for error in (document, card))
    return errors.AgentFailed(f"{url} does not describe an agent: {'; '.join(reasons)}")
