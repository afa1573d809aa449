"""Believing a runtime: what it states of the user of a turn, signed for the agent that is asked."""

from lmos.protocols.auth import Auth
from lmos.protocols.tokens import JWKS, RUNTIME, Tokens


def trusting(url: str, *agents: str, issuer: str | None = None) -> Auth:
    """Lets only the runtime at the URL in, with statements for one of these agents.

    A turn's user and `user.claims` are then what the runtime states: the tenant and channel of the
    turn, what the user's own token claimed, and `verified`, which tells whether there was one.
    Where several runtimes share their signing key, the URL is that of any.
    """
    tokens = Tokens(
        jwks_url=url.rstrip("/") + JWKS, issuer=issuer or RUNTIME, audience=list(agents)
    )
    return Auth(tokens=tokens)
