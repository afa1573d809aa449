"""`/.well-known/capabilities.json`: what an agent can do, for whom."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lmos.model import Capability, Description, Model
from lmos.model.base import Tuple
from lmos.model.errors import AgentFailed, InvalidInput
from lmos.protocols import calls, http, limits

PATH = "/.well-known/capabilities.json"


class Document(Model):
    """The document. The original has neither `version` nor `examples`."""

    id: str
    description: str = ""
    version: str = ""
    supported_tenants: Tuple[str] = ()
    supported_channels: Tuple[str] = ()
    capabilities: Tuple["Offer"] = ()


class Offer(Model):
    """A capability in the document; fields nobody knows are passed over."""

    id: str = ""
    name: str
    version: str
    description: str = ""
    examples: Tuple[str] = ()


def capabilities_route(
    description: Description | Callable[[Request], Description], prefix: str = ""
) -> Route:
    """`GET {prefix}/.well-known/capabilities.json`."""

    async def get(request: Request) -> Response:
        found = description if isinstance(description, Description) else description(request)
        return http.json_response(document_of(found).wire())

    return Route(prefix + PATH, get, methods=["GET"])


async def describe(url: str) -> Description:
    """What the agent at the base URL says in its capabilities document.

    `AgentUnavailable` when it does not answer, `AgentFailed` when the document cannot be used.
    """
    base = url.rstrip("/")
    who = f"the agent at {base}"
    data = await calls.document(base + PATH, who)
    try:
        return description_of(data, base)
    except InvalidInput as error:
        raise AgentFailed(f"{who} has a capabilities.json that cannot be used: {error}") from None


def document_of(description: Description) -> Document:
    """The description as the document."""
    return Document(
        id=description.name,
        description=description.description,
        version=description.version,
        supported_tenants=description.supported_tenants,
        supported_channels=description.supported_channels,
        capabilities=tuple(Offer(**c.model_dump()) for c in description.capabilities),
    )


def description_of(data: Any, base: str) -> Description:
    """The document as a description of the agent at `base`; `InvalidInput` where it is wrong."""
    document = limits.parsed(Document, data)
    return Description(
        name=document.id,
        version=document.version,
        description=document.description,
        supported_tenants=document.supported_tenants,
        supported_channels=document.supported_channels,
        capabilities=tuple(Capability(**offer.model_dump()) for offer in document.capabilities),
        url=base,
        source=base + PATH,
    )
