"""What the runtime states to agents about the user of a turn, signed.

The statement is a JWT (EdDSA) that goes with every request to an agent as its bearer token. It is
for that agent alone, lives a few minutes, and is verified with the keys at `JWKS`, which every
mesh and every JWT library can do; `lmos serve --trust-runtime` does. It says who the user is
(`sub`), whether that was proved with a token or only told by the application (`verified`), the
tenant and the channel, and what the user's token claimed.
"""

import base64
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmos.model import Turn
from lmos.model.errors import InvalidInput, MissingExtra
from lmos.protocols.tokens import RUNTIME

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: Seconds that a statement is good for, and for which it is used again.
LIFE, FRESH = 300.0, 120.0
#: Statements kept.
KEPT = 10_000
#: Claims of the user's token that are about that token and not about the user.
_ABOUT_TOKEN = frozenset(
    ("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "azp", "nonce", "at_hash", "c_hash", "sid")
)


class Signer:
    """Signs with the last of the keys and publishes all, so that a new one can be known before it
    is used and an old one after. Without keys it makes one for as long as it lives.
    """

    def __init__(
        self,
        keys: "Sequence[Ed25519PrivateKey]" = (),
        *,
        issuer: str = RUNTIME,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = [*keys] or [_new_key()]
        self._kid = _jwk(self._keys[-1])["kid"]
        self._issuer = issuer
        self._clock = clock
        self._kept: OrderedDict[Any, tuple[float, str]] = OrderedDict()

    @classmethod
    def read(cls, path: Path, *, issuer: str = RUNTIME) -> "Signer":
        """With the PEM file at the path, or those in the directory, by name."""
        files = sorted(path.glob("*.pem")) if path.is_dir() else [path]
        if not files:
            raise InvalidInput(f"{path} has no *.pem with an Ed25519 private key")
        return cls([_loaded(file) for file in files], issuer=issuer)

    def jwks(self) -> dict[str, Any]:
        """The public keys, as a JSON Web Key Set."""
        return {"keys": [_jwk(key) for key in self._keys]}

    def signed(self, turn: Turn, agent: str) -> Turn:
        """The turn as the agent is to be asked for it."""
        return turn.but(authorization=self.statement(turn, agent))

    def statement(self, turn: Turn, agent: str) -> str:
        """The statement about the turn's user for the agent."""
        key = (agent, turn.tenant, turn.channel, turn.user.id, _frozen(turn.user.claims))
        now, kept = self._clock(), self._kept.get(key)
        if kept is not None and now - kept[0] < FRESH:
            return kept[1]
        token = self._sign(turn, agent, int(now))
        self._kept[key] = (now, token)
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return token

    def _sign(self, turn: Turn, agent: str, now: int) -> str:
        import jwt

        told = {k: v for k, v in turn.user.claims.items() if k not in _ABOUT_TOKEN}
        claims = {
            **told,
            "iss": self._issuer,
            "aud": agent,
            "iat": now,
            "exp": now + int(LIFE),
            "tenant": turn.tenant,
            "channel": turn.channel,
            "verified": bool(turn.user.claims),
            **({"sub": turn.user.id} if turn.user.id else {}),
        }
        return jwt.encode(claims, self._keys[-1], "EdDSA", headers={"kid": self._kid})


def _frozen(claims: Any) -> str:
    return repr(sorted(claims.items())) if claims else ""


def _new_key() -> "Ed25519PrivateKey":
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError:
        raise MissingExtra("auth", "signing who the user is") from None
    return Ed25519PrivateKey.generate()


def _loaded(file: Path) -> "Ed25519PrivateKey":
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise MissingExtra("auth", "signing who the user is") from None
    try:
        found = load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInput(f"the signing key {file} cannot be read: {error}") from None
    if not isinstance(found, Ed25519PrivateKey):
        raise InvalidInput(
            f"{file} is no Ed25519 key; openssl genpkey -algorithm ed25519 makes one"
        )
    return found


def _jwk(key: "Ed25519PrivateKey") -> dict[str, Any]:
    """The public key, named by its thumbprint (RFC 7638)."""
    x = _base64(key.public_key().public_bytes_raw())
    thumb = hashlib.sha256(b'{"crv":"Ed25519","kty":"OKP","x":"%b"}' % x.encode()).digest()
    public = {"kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig", "alg": "EdDSA"}
    return {**public, "kid": _base64(thumb)}


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
