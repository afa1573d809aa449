"""Who may ask in which tenant's name, as the Tenant resources of a store say.

Only the hashes of keys are known here. They are plain SHA-256: a key is made by `lmos key` of 256
random bits, and what cannot be guessed need not be slow to check. A change of the resources counts
with the next request; where it cannot be used, what was in force stays.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from types import TracebackType
from typing import Any, Self

from lmos.model import ApiKey, Store, Tenant, TokenIssuer, TurnLimits
from lmos.model.errors import Unauthenticated
from lmos.protocols.auth import Caller, credential_of
from lmos.protocols.tokens import Tokens
from lmos.store import Following

log = logging.getLogger("lmos.runtime")


@dataclass(frozen=True, slots=True)
class _Trusted:
    """A tenant's issuer of tokens."""

    tenant: Tenant
    issuer: TokenIssuer
    tokens: Tokens

    def is_for(self, claims: Mapping[str, Any]) -> bool:
        """Whether the token, so far unverified or not, is for this tenant."""
        audience = claims.get("aud")
        named = audience if isinstance(audience, list) else [audience]
        claim = self.issuer.tenant_claim
        return self.issuer.audience in named and (
            not claim or claims.get(claim) == self.tenant.name
        )


@dataclass(frozen=True, slots=True)
class _Book:
    """What the resources say, as it is looked up. Swapped as a whole."""

    keys: Mapping[str, tuple[Tenant, ApiKey]] = field(default_factory=dict)
    issuers: Mapping[str, Sequence[_Trusted]] = field(default_factory=dict)
    limits: Mapping[str, TurnLimits] = field(default_factory=dict)


class Tenants:
    """Checks callers against the Tenants of a store, kept up to date while it is entered.

    A store without Tenants lets nobody in. `limits` are those of the tenant, or none.
    """

    schemes = ("apiKey", "bearer")

    def __init__(
        self, store: Store, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._store = store
        self._now = now
        self._book = _Book()
        self._tokens: dict[TokenIssuer, Tokens] = {}
        self._following = Following(store, Tenant)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.refresh()
        self._task = asyncio.create_task(self._follow(), name="tenants")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def limits(self, tenant: str) -> TurnLimits:
        """How much the tenant may ask for."""
        return self._book.limits.get(tenant, _UNLIMITED)

    @property
    def names(self) -> list[str]:
        """The tenants that somebody may ask for."""
        return sorted(self._book.limits)

    async def check(self, headers: Mapping[str, str]) -> Caller:
        """Who the headers (names in small letters) are from; `Unauthenticated` with what to do."""
        credential = credential_of(headers)
        if not credential:
            raise Unauthenticated("no credentials: send Authorization: Bearer KEY or TOKEN")
        known = self._book.keys.get(sha256(credential.encode()).hexdigest())
        if known is not None:
            return self._with_key(*known)
        if credential.count(".") == 2:
            return await self._with_token(credential)
        raise Unauthenticated("the API key is not known here")

    def _with_key(self, tenant: Tenant, key: ApiKey) -> Caller:
        if key.expires is not None and key.expires <= self._now():
            raise Unauthenticated("the API key has expired; use the one that followed it")
        return Caller(tenant=tenant.name, operator=tenant.spec.operator)

    async def _with_token(self, token: str) -> Caller:
        said = _unverified(token)
        candidates = self._book.issuers.get(str(said.get("iss")), ())
        trusted = next((found for found in candidates if found.is_for(said)), None)
        if trusted is None:
            raise Unauthenticated(
                "the token is by no issuer that is trusted here, or for another audience or tenant"
            )
        claims = await trusted.tokens.claims(token)
        user = str(claims.get(trusted.issuer.user_claim) or "")
        if trusted.issuer.user_claim and not user:
            raise Unauthenticated(f"the token has no claim {trusted.issuer.user_claim!r}")
        tenant = trusted.tenant
        return Caller(user, claims, tenant=tenant.name, operator=tenant.spec.operator)

    # --- following --------------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Takes over what the store says now."""
        tenants, _ = await self._store.list(Tenant)
        self._book = _Book(_keys(tenants), self._issuers(tenants), _limits(tenants))

    async def _follow(self) -> None:
        async with aclosing(self._following.changes()) as changes:
            async for _ in changes:
                try:
                    await self.refresh()
                except Exception:
                    log.exception("the tenants cannot be used as they are; the last ones stay")

    def _issuers(self, tenants: Iterable[Tenant]) -> dict[str, list[_Trusted]]:
        """By issuer. What does not tell one tenant from another is trusted for neither."""
        found: defaultdict[tuple[str, str, str], list[_Trusted]] = defaultdict(list)
        for tenant in tenants:
            for issuer in tenant.spec.tokens:
                which = tenant.name if issuer.tenant_claim else ""
                trusted = _Trusted(tenant, issuer, self._checking(issuer))
                found[issuer.issuer, issuer.audience, which].append(trusted)
        book: dict[str, list[_Trusted]] = defaultdict(list)
        for (name, audience, _), trusted_ones in found.items():
            if len(trusted_ones) == 1:
                book[name] += trusted_ones
                continue
            names = ", ".join(sorted(trusted.tenant.name for trusted in trusted_ones))
            log.error(
                "tokens of %s for %s open none of %s: tell them apart by audience or tenantClaim",
                name, audience, names,
            )  # fmt: skip
        return book

    def _checking(self, issuer: TokenIssuer) -> Tokens:
        """One for each issuer as it is described, so that its keys are fetched once."""
        if issuer not in self._tokens:
            self._tokens[issuer] = Tokens(
                jwks_url=issuer.jwks_url,
                discover=not issuer.jwks_url,
                issuer=issuer.issuer,
                audience=issuer.audience,
                scopes=issuer.scopes,
            )
        return self._tokens[issuer]


_UNLIMITED = TurnLimits()


def _keys(tenants: Iterable[Tenant]) -> dict[str, tuple[Tenant, ApiKey]]:
    """By hash. A key that stands at two tenants opens neither."""
    found: dict[str, tuple[Tenant, ApiKey]] = {}
    twice: dict[str, str] = {}
    for tenant in tenants:
        for key in tenant.spec.keys:
            before = found.setdefault(key.sha256, (tenant, key))
            if before[0].name != tenant.name:
                twice[key.sha256] = f"{before[0].name} and {tenant.name}"
    for digest, names in twice.items():
        log.error("a key of %s opens neither: give each tenant keys of its own", names)
        del found[digest]
    return found


def _limits(tenants: Iterable[Tenant]) -> dict[str, TurnLimits]:
    return {tenant.name: tenant.spec.limits for tenant in tenants}


def _unverified(token: str) -> Mapping[str, Any]:
    """What the token says of itself, to look for who could verify it."""
    from jwt import InvalidTokenError, decode

    try:
        found: dict[str, Any] = decode(token, options={"verify_signature": False})
    except InvalidTokenError:
        raise Unauthenticated(
            "the credentials are neither a key known here nor a token that can be read"
        ) from None
    return found
