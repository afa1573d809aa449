"""A runtime of two tenants with keys and tokens, and an issuer of tokens, on loopback."""

import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from runtime_parts import BILL, ORDER, Player, agent_of, group_of, routing, served, serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lmos.llm import embedder
from lmos.model import (
    Channel,
    ChannelSpec,
    ObjectMeta,
    RequiredCapability,
    Tenant,
    TenantSpec,
)
from lmos.protocols import http
from lmos.router import VectorRouter
from lmos.runtime import Routings, Supervisor, app
from lmos.runtime.identity import Rates, Signer, Tenants
from lmos.state import MemoryState
from lmos.store import MemoryStore

ACME, GLOBEX, OPERATOR = "lmos_key-of-acme", "lmos_key-of-globex", "lmos_key-of-operators"


CHANNEL = Channel(
    metadata=ObjectMeta(name="acme-web", labels={"tenant": "acme", "channel": "web"}),
    spec=ChannelSpec(required_capabilities=(RequiredCapability(name="view-bill", version="1"),)),
)


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def tenant(name: str, *keys: str, **spec: Any) -> Tenant:
    found = [{"sha256": digest(key)} for key in keys]
    return Tenant(
        metadata=ObjectMeta(name=name), spec=TenantSpec.model_validate({"keys": found, **spec})
    )


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


class Issuer:
    """An OpenID provider: its configuration, its key set, and tokens signed with its newest key."""

    def __init__(self) -> None:
        self.url = ""
        self.keys: dict[str, RSAPrivateKey] = {}
        self.looked = 0
        self.rotate()

    def rotate(self) -> None:
        """Takes a new key into use and forgets those before."""
        self.keys = {
            f"key-{len(self.keys)}-{time.monotonic_ns()}": generate_private_key(65537, 2048)
        }

    def token(self, user: str | None, audience: str, **more: Any) -> str:
        ((kid, key),) = self.keys.items()
        claims = {"iss": self.url, "aud": audience, "exp": time.time() + 60, "sub": user, **more}
        said = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(said, key, "RS256", headers={"kid": kid})

    def app(self) -> Starlette:
        async def configuration(_: Request) -> Response:
            return JSONResponse({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})

        async def keys(_: Request) -> Response:
            self.looked += 1
            as_dict = jwt.algorithms.RSAAlgorithm.to_jwk
            found = [
                {**as_dict(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}
                for kid, key in self.keys.items()
            ]
            return JSONResponse({"keys": found})

        routes = [Route("/.well-known/openid-configuration", configuration), Route("/keys", keys)]
        return Starlette(routes=routes)


class House:
    """A runtime with tenants acme (billing, orders) and globex (billing) that are told apart."""

    def __init__(self) -> None:
        self.billing, self.orders = Player("billing"), Player("orders")
        self.store = MemoryStore()
        self.state = MemoryState()
        self.issuer = Issuer()
        self.signer = Signer()
        self.url = self.task = ""
        self.supervisor: Supervisor
        self.tenants: Tenants

    async def change(self, *tenants: Tenant) -> None:
        """Puts the tenants into the store, and waits until they count."""
        for one in tenants:
            await self.store.apply(one, "test")
        await self.tenants.refresh()

    def routes(self) -> list[Any]:
        serving_as = app.Serving(
            rates=Rates(self.tenants.limits), signer=self.signer, schemes=self.tenants.schemes
        )
        return app.routes(self.supervisor, serving_as)


@asynccontextmanager
async def housed(*tenants: Tenant) -> AsyncIterator[House]:
    """The house with these tenants, or with a key for each of two and one for operators."""
    house = House()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(http.close_session)
        one = await stack.enter_async_context(serving(house.billing.respond, "billing"))
        two = await stack.enter_async_context(serving(house.orders.respond, "orders"))
        house.issuer.url = await stack.enter_async_context(served(house.issuer.app()))
        billing, orders = agent_of("billing", one, BILL), agent_of("orders", two, ORDER)
        for agent in (billing, orders):
            await house.store.apply(agent, "test")
            await house.store.patch_status(agent)
        bills, parcels = group_of(billing, BILL), group_of(orders, ORDER)
        await house.store.apply(routing("acme", bills, parcels), "test")
        await house.store.apply(routing("globex", bills), "test")
        await house.store.apply(CHANNEL, "test")
        for found in tenants or (
            tenant("acme", ACME),
            tenant("globex", GLOBEX),
            tenant("operators", OPERATOR, operator=True),
        ):
            await house.store.apply(found, "test")
        routings = await stack.enter_async_context(Routings(house.store, embedder()))
        house.tenants = await stack.enter_async_context(Tenants(house.store))
        house.supervisor = Supervisor(
            routings, VectorRouter(embedder()), house.state, sign=house.signer.signed
        )
        application = app.application(house.routes(), house.tenants)
        house.url = await stack.enter_async_context(served(application))
        yield house
