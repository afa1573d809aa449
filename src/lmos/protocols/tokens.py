"""Signed tokens (JWT): what must hold before a claim in one is believed.

Which algorithms count follows from the kind of key, never from the token: a shared secret means
HS256, a public key or a key set means signatures by private keys. So no token can pass off a public
key as a secret. A key set is fetched once and kept; a token signed with a key that is not in it
makes us look again, so keys can be rotated without a restart, but not more often than `AGAIN`.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lmos.model.errors import AgentFailed, Forbidden, InvalidInput, MissingExtra, Unauthenticated
from lmos.protocols import calls

if TYPE_CHECKING:
    from jwt import PyJWK

log = logging.getLogger(__name__)

#: Seconds that a key set is believed, and at least between two looks at it.
KEPT, AGAIN = 300.0, 10.0
#: Bytes that a shared secret must have: as many as the hash has.
SECRET_BYTES = 32
#: What a runtime calls itself where it states to agents who the user is, and where its keys are.
RUNTIME, JWKS = "lmos-runtime", "/.well-known/jwks.json"
#: Below an issuer, where OpenID has its configuration.
CONFIGURATION = "/.well-known/openid-configuration"
SHARED = ("HS256",)
SIGNED = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA")


class Tokens:
    """Checks tokens against one source of keys: `secret` (HS256), `public_key` (PEM), `jwks_url`,
    where a key set is, or, with `discover`, the key set that the issuer's OpenID configuration
    names.

    A token must not have expired, must be by `issuer` and for `audience` where those are given
    (one that names an audience is refused where none is), and must have all `scopes` (claims
    `scope` or `scp`). `leeway` is in seconds. `InvalidInput` for settings that cannot work.
    """

    def __init__(
        self,
        *,
        secret: str = "",
        public_key: str = "",
        jwks_url: str = "",
        discover: bool = False,
        issuer: str = "",
        audience: str | Sequence[str] = "",
        scopes: Sequence[str] = (),
        leeway: float = 30.0,
    ) -> None:
        _check_installed()
        self._keys = _keys(secret, public_key, jwks_url, issuer if discover else "")
        self._issuer = issuer or None
        self._audience = audience or None
        self._scopes = tuple(scopes)
        self._leeway = leeway

    async def claims(self, token: str) -> Mapping[str, Any]:
        """The token's claims, all verified. `Unauthenticated` or `Forbidden` says why not."""
        import jwt

        try:
            header = jwt.get_unverified_header(token)
            key = await self._keys.find(header.get("kid"))
            found: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=self._keys.algorithms,
                issuer=self._issuer,
                audience=self._audience,
                leeway=self._leeway,
                options={"require": ["exp"]},
            )
        except jwt.InvalidTokenError as error:
            raise Unauthenticated(_why(error)) from None
        self._check_scopes(found)
        return found

    def _check_scopes(self, claims: Mapping[str, Any]) -> None:
        given = claims.get("scope") or claims.get("scp") or ()
        has = set(given.split() if isinstance(given, str) else given)
        missing = [scope for scope in self._scopes if scope not in has]
        if missing:
            raise Forbidden(
                f"the token has not the scope {' '.join(missing)}; it has "
                f"{' '.join(sorted(map(str, has))) or 'none'}",
                missing=missing,
            )


def _check_installed() -> None:
    try:
        import cryptography  # noqa: F401
        import jwt  # noqa: F401
    except ImportError:
        raise MissingExtra("auth", "checking tokens") from None


def _why(error: Exception) -> str:
    """What is wrong with the token, in words that name nothing of what is in it."""
    import jwt

    words: dict[type[Exception], str] = {
        jwt.ExpiredSignatureError: "the token has expired; get a new one",
        jwt.ImmatureSignatureError: "the token is not valid yet",
        jwt.InvalidAudienceError: "the token is not for this audience",
        jwt.InvalidIssuerError: "the token is not by the issuer that is trusted here",
        jwt.MissingRequiredClaimError: f"the token is not complete: {error}",
        jwt.InvalidAlgorithmError: "the token is signed in a way that is not accepted here",
        jwt.InvalidSignatureError: "the token's signature does not fit",
    }
    return next((said for kind, said in words.items() if isinstance(error, kind)), _NO_TOKEN)


_NO_TOKEN = "the credentials are neither a key known here nor a token that can be read"

_SET = "the key set for tokens"

# --- keys -----------------------------------------------------------------------------------------


def _keys(secret: str, public_key: str, jwks_url: str, issuer: str) -> "_Given | _KeySet":
    if sum(map(bool, (secret, public_key, jwks_url, issuer))) != 1:
        raise InvalidInput(
            "tokens need exactly one of: a secret, a public key, the URL of a JWKS, an issuer to "
            "ask for it"
        )
    if jwks_url or issuer:
        return _KeySet(jwks_url) if jwks_url else _Discovered(issuer)
    if public_key:
        return _Given(_loaded(public_key), SIGNED)
    if len(secret.encode()) < SECRET_BYTES:
        raise InvalidInput(
            f"the secret for tokens has {len(secret.encode())} bytes; HS256 needs {SECRET_BYTES}"
        )
    return _Given(secret, SHARED)


def _loaded(pem: str) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        return load_pem_public_key(pem.encode())
    except ValueError as error:
        raise InvalidInput(f"the public key for tokens cannot be read as PEM: {error}") from None


class _Given:
    """One key, known from the start."""

    def __init__(self, key: Any, algorithms: Sequence[str]) -> None:
        self.algorithms = list(algorithms)
        self._key = key

    async def find(self, kid: str | None) -> Any:
        return self._key


class _KeySet:
    """The keys at a URL. Where it cannot be read again, those it had stay good."""

    def __init__(self, url: str) -> None:
        self.algorithms = list(SIGNED)
        self._url = url
        self._keys: Sequence[PyJWK] = ()
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()

    async def find(self, kid: str | None) -> Any:
        """The key of that id, or the only one there is for a token that names none."""
        await self._refresh(KEPT)
        found = self._named(kid)
        if found is None:
            await self._refresh(AGAIN)
            found = self._named(kid)
        if found is None:
            raise Unauthenticated("the token is signed with a key that is not known here")
        return found

    async def _place(self) -> str:
        return self._url

    def _named(self, kid: str | None) -> "PyJWK | None":
        if kid is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.key_id == kid), None)

    async def _refresh(self, age: float) -> None:
        """Reads the set again if it is older than `age`, once for all who wait for it."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now - self._read_at < age:
                return
            try:
                self._keys = _usable(await calls.document(await self._place(), _SET))
            except AgentFailed as error:
                if not self._keys:
                    raise
                log.warning("%s; the keys it had stay in use", error.message)
            self._read_at = now


class _Discovered(_KeySet):
    """The keys where the issuer's OpenID configuration says that they are."""

    def __init__(self, issuer: str) -> None:
        super().__init__("")
        self._issuer = issuer

    async def _place(self) -> str:
        url = self._issuer.rstrip("/") + CONFIGURATION
        found = await calls.document(url, f"the issuer {self._issuer}")
        if found.get("issuer") != self._issuer:
            raise AgentFailed(f"what is at {url} is of another issuer; name the one it tells")
        if not isinstance(found.get("jwks_uri"), str):
            raise AgentFailed(f"what is at {url} has no jwks_uri")
        return str(found["jwks_uri"])


def _usable(document: Mapping[str, Any]) -> "Sequence[PyJWK]":
    """The keys of the set that verify signatures; others (secrets, encryption) do not count."""
    from jwt import PyJWK, PyJWTError

    found = []
    for data in document.get("keys") or ():
        if not isinstance(data, dict) or data.get("kty") == "oct" or data.get("use") == "enc":
            continue
        try:
            found.append(PyJWK.from_dict(data))
        except PyJWTError:  # of a kind that nobody here can use
            continue
    if not found:
        raise AgentFailed("the key set for tokens has no key that verifies a signature")
    return found
