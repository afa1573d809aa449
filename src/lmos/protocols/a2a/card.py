"""Agent cards: a description as an A2A card, and what a card describes."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field
from starlette.requests import Request

from lmos.model import Capability, Description, Model
from lmos.model.base import Tuple
from lmos.model.errors import AgentFailed, InvalidInput
from lmos.protocols import calls, limits
from lmos.protocols.a2a.codec import EXTENSION

#: Where JSON-RPC and HTTP+JSON are, below the agent's base.
PATH = "/a2a"
CARD = "/.well-known/agent-card.json"
#: Where the card is, today's path first.
WELL_KNOWN = (CARD, "/.well-known/agent.json")

JSONRPC, HTTP_JSON, GRPC = "JSONRPC", "HTTP+JSON", "GRPC"
_HOST = re.compile(r"[\w.\-]+(:\d+)?|\[[0-9a-fA-F:.]+\](:\d+)?")


@dataclass(frozen=True, slots=True)
class Offer:
    """What of a card is the server's: the port of gRPC (0: none) and the tenant to name there, and
    the kinds of credentials that are accepted: `apiKey`, `bearer`.
    """

    grpc_port: int = 0
    grpc_tenant: str = ""
    schemes: tuple[str, ...] = ()


NOTHING = Offer()


class Interface(Model):
    """A place where an agent answers, and how."""

    url: str
    protocol_binding: str = ""
    protocol_version: str = ""


class Skill(Model):
    """Something an agent can do."""

    id: str = ""
    name: str = ""
    description: str = ""
    examples: Tuple[str] = ()


class Extension(Model):
    """An extension that an agent knows."""

    uri: str
    params: dict[str, Any] | None = None


class Features(Model):
    """What of A2A an agent offers."""

    streaming: bool | None = None
    extensions: Tuple[Extension] = ()


class Card(Model):
    """An agent's card, as far as it matters here."""

    name: str = Field(min_length=1)
    version: str = ""
    description: str = ""
    supported_interfaces: Tuple[Interface] = ()
    capabilities: Features = Features()
    skills: Tuple[Skill] = ()

    @cached_property
    def extended(self) -> bool:
        """Whether the agent takes turns and gives events as they are."""
        return self._extension is not None

    @property
    def streams(self) -> bool:
        """Whether the agent answers while it works."""
        return bool(self.capabilities.streaming)

    @property
    def params(self) -> dict[str, Any]:
        """What the agent says about itself under our extension."""
        return (self._extension and self._extension.params) or {}

    @property
    def _extension(self) -> Extension | None:
        return next((e for e in self.capabilities.extensions if e.uri == EXTENSION), None)

    def interface(self) -> Interface:
        """Where to send turns: JSON-RPC before HTTP+JSON. `AgentFailed` when it has neither."""
        for binding in (JSONRPC, HTTP_JSON):
            for found in self.supported_interfaces:
                version = found.protocol_version or "1.0"
                if found.protocol_binding.upper() == binding and version.startswith("1."):
                    return found
        raise AgentFailed(
            f"agent {self.name!r} offers neither JSON-RPC nor HTTP+JSON of A2A 1.0 on its card"
        )


# --- ours -----------------------------------------------------------------------------------------


def card_of(description: Description, base: str, offer: Offer = NOTHING) -> dict[str, Any]:
    """The card, pointing at the description's URL or else at `base`."""
    return {
        "name": description.name,
        "description": description.description,
        "version": description.version,
        "supportedInterfaces": _interfaces(description.url or base, offer),
        "capabilities": {
            "streaming": True,
            "pushNotifications": False,
            "extensions": [_extension(description)],
        },
        **_security(offer.schemes),
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": skills(description),
    }


def _interfaces(base: str, offer: Offer) -> list[dict[str, str]]:
    url = base.rstrip("/") + PATH
    found = [
        {"url": url, "protocolBinding": binding, "protocolVersion": "1.0"}
        for binding in (JSONRPC, HTTP_JSON)
    ]
    if offer.grpc_port:
        host = urlsplit(base).netloc.rpartition("@")[2]
        host = re.sub(r":\d+$", "", host)
        tenant = {"tenant": offer.grpc_tenant} if offer.grpc_tenant else {}
        place = {"url": f"{host}:{offer.grpc_port}", "protocolBinding": GRPC}
        found.append({**place, "protocolVersion": "1.0", **tenant})
    return found


_SCHEMES: dict[str, dict[str, Any]] = {
    "apiKey": {"apiKeySecurityScheme": {"name": "X-API-Key", "location": "header"}},
    "bearer": {"httpAuthSecurityScheme": {"scheme": "Bearer"}},
}


def _security(schemes: tuple[str, ...]) -> dict[str, Any]:
    """The schemes, any one of which is enough; nothing where nobody has to say who they are."""
    if not schemes:
        return {}
    return {
        "securitySchemes": {name: _SCHEMES[name] for name in schemes},
        "securityRequirements": [{"schemes": {name: {"list": []}}} for name in schemes],
    }


def _extension(description: Description) -> dict[str, Any]:
    return {
        "uri": EXTENSION,
        "description": "takes an LMOS turn and gives its events, in metadata",
        "required": False,
        "params": {
            "versions": {c.key: c.version for c in description.capabilities},
            "supportedTenants": list(description.supported_tenants),
            "supportedChannels": list(description.supported_channels),
        },
    }


def skills(description: Description) -> list[dict[str, Any]]:
    """What the agent can do: its capabilities, and the skills that it tells of."""
    found = {capability.key: skill(capability) for capability in description.capabilities}
    for told in description.skills:
        wire = {k: v for k, v in told.wire().items() if v not in ([], "")}
        found[told.id] = {"description": told.name, "tags": [told.name], **wire}
    return list(found.values())


def skill(capability: Capability) -> dict[str, Any]:
    """A capability as a skill."""
    return {
        "id": capability.key,
        "name": capability.name,
        "description": capability.description,
        "tags": [capability.name],
        "examples": list(capability.examples),
    }


def base_of(request: Request) -> str:
    """The base URL by which the client reached the card, proxies in between included."""
    headers, path = request.headers, request.url.path
    scheme = _first(headers.get("x-forwarded-proto")) or request.url.scheme
    host = _first(headers.get("x-forwarded-host")) or headers.get("host") or ""
    if scheme not in ("http", "https") or not _HOST.fullmatch(host):
        raise InvalidInput(f"the host {host!r} cannot be part of an address")
    known = next((end for end in WELL_KNOWN if path.endswith(end)), "")
    before = _first(headers.get("x-forwarded-prefix")).rstrip("/")
    return f"{scheme}://{host}{before}{path.removesuffix(known)}"


def _first(value: str | None) -> str:
    return (value or "").split(",")[0].strip()


# --- theirs ---------------------------------------------------------------------------------------


async def fetch(url: str) -> tuple[Card, str]:
    """The card of the agent at the base URL (or at the origin, or under the URL itself when it is
    that of a document), and where it was. `AgentUnavailable` or `AgentFailed` when there is none.
    """
    who = f"the agent at {url}"
    places = _places(url)
    for place in places:
        try:
            return limits.parsed(Card, await calls.document(place, who)), place
        except InvalidInput as error:
            raise AgentFailed(f"{who} has a card that cannot be used: {error}") from None
        except AgentFailed as error:
            if error.details.get("status") != 404 or place == places[-1]:
                raise
    raise AgentFailed(f"{who} has no card")


def _places(url: str) -> list[str]:
    base = url.rstrip("/")
    if base.endswith(".json"):
        return [base]
    origin = "/".join(base.split("/", 3)[:3])
    bases = [base] if base == origin else [base, origin]
    return [place + path for place in bases for path in WELL_KNOWN]


async def describe(url: str) -> Description:
    """What the agent at the base URL says on its card. `AgentUnavailable` when it does not answer,
    `AgentFailed` when its card cannot be used.
    """
    card, source = await fetch(url)
    card.interface()
    try:
        return description_of(card, url.rstrip("/"), source)
    except InvalidInput as error:
        raise AgentFailed(f"the card at {source} cannot be used: {error}") from None


def description_of(card: Card, url: str, source: str = "") -> Description:
    """The card as a description of the agent at `url`. Skills without version have its."""
    versions = card.params.get("versions")
    known = versions if isinstance(versions, dict) else {}
    found = {
        "name": card.name,
        "version": card.version,
        "description": card.description,
        "supportedTenants": card.params.get("supportedTenants"),
        "supportedChannels": card.params.get("supportedChannels"),
        "capabilities": [
            {
                "id": skill.id,
                "name": skill.name or skill.id,
                "version": known.get(skill.id) or card.version or "1.0.0",
                "description": skill.description,
                "examples": skill.examples,
            }
            for skill in card.skills
        ],
        "url": url,
        "source": source,
    }
    return limits.parsed(Description, found)
