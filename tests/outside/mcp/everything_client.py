"""Our client, doing what a scenario of the conformance suite asks for.

`python everything_client.py URL`, with the scenario's name in `MCP_CONFORMANCE_SCENARIO`. Where a
person would log in with a browser, the page's answer is read instead: the suite's login asks
nothing.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import (
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from lmos.protocols import mcp

CALLBACK = "http://localhost:3000/callback"
SCENARIO = os.environ["MCP_CONFORMANCE_SCENARIO"]
CONTEXT: dict[str, Any] = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")


class Storage:
    """What the flow has learned, for one run."""

    def __init__(self, client: OAuthClientInformationFull | None = None) -> None:
        self.tokens: OAuthToken | None = None
        self.client = client

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Login:
    """The person with the browser."""

    def __init__(self) -> None:
        self._answer = ""

    async def go(self, url: str) -> None:
        async with httpx2.AsyncClient() as browser:
            self._answer = (await browser.get(url)).headers["location"]

    async def back(self) -> AuthorizationCodeResult:
        query = parse_qs(urlsplit(self._answer).query)
        found = {name: query[name][0] for name in ("code", "state", "iss") if name in query}
        return AuthorizationCodeResult(**found)


def registered() -> OAuthClientInformationFull | None:
    if "client_id" not in CONTEXT:
        return None
    return OAuthClientInformationFull(
        client_id=CONTEXT["client_id"],
        client_secret=CONTEXT["client_secret"],
        token_endpoint_auth_method="client_secret_basic",
        redirect_uris=[CALLBACK],  # type: ignore[list-item]
    )


def person(url: str) -> OAuthClientProvider:
    login = Login()
    return OAuthClientProvider(
        url,
        OAuthClientMetadata(
            client_name="lmos",
            redirect_uris=[CALLBACK],  # type: ignore[list-item]
            grant_types=["authorization_code", "refresh_token"],
            response_types=["code"],
        ),
        Storage(registered()),
        login.go,
        login.back,
        client_metadata_url="https://conformance-test.local/client-metadata.json",
    )


async def issuer_of(url: str) -> str:
    """Who gives tokens for the server: what an operator would know."""
    place = urlsplit(url)
    found = f"{place.scheme}://{place.netloc}/.well-known/oauth-protected-resource{place.path}"
    async with httpx2.AsyncClient() as client:
        return str((await client.get(found)).json()["authorization_servers"][0])


async def auth_of(url: str) -> Any:
    match SCENARIO:
        case "auth/client-credentials-basic":
            return mcp.ClientCredentials(
                await issuer_of(url), CONTEXT["client_id"], CONTEXT["client_secret"]
            )
        case "auth/client-credentials-jwt":
            issuer = await issuer_of(url)
            signing = SignedJWTParameters(
                issuer=CONTEXT["client_id"],
                subject=CONTEXT["client_id"],
                signing_algorithm=CONTEXT["signing_algorithm"],
                signing_key=CONTEXT["private_key_pem"],
            )
            return PrivateKeyJWTOAuthProvider(
                url,
                Storage(),
                CONTEXT["client_id"],
                signing.create_assertion_provider(),
                issuer=issuer,
            )
    return person(url) if SCENARIO.startswith("auth/") else None


async def fill_in(message: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A person who leaves the form as it is and sends it."""
    return {}


ARGUMENTS: dict[str, dict[str, Any]] = {"add_numbers": {"a": 5, "b": 3}}


async def main(url: str) -> None:
    server = mcp.Server.of(url, auth=await auth_of(url), elicit=fill_in)
    connection = mcp.connect(server)
    try:
        for tool in await connection.tools():
            print(await connection.call(tool.name, ARGUMENTS.get(tool.name, {})))
    finally:
        await mcp.close_all()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
