"""Who may ask the platform or the service on this machine: read once, given to all that need it."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from lmos.model import State, errors
from lmos.protocols.origins import is_loopback
from lmos.protocols.tokens import RUNTIME
from lmos.runtime.app import Ready, Serving
from lmos.runtime.asking import Sign
from lmos.runtime.identity import Counts, Rates, SharedRates, Signer, Tenants
from lmos.runtime.sources import open_source


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of who asks: nothing, where everybody may."""

    tenants: Tenants | None = None
    signer: Signer | None = None

    @property
    def sign(self) -> Sign | None:
        """How turns are signed for agents, if they are."""
        return self.signer.signed if self.signer else None

    def serving(self, state: State | None = None, ready: Ready = lambda: "") -> Serving:
        """The same, for the runtime's application. Turns are counted in the state where other
        processes use it too, else here.
        """
        return Serving(
            rates=self._rates(state),
            signer=self.signer,
            schemes=self.tenants.schemes if self.tenants else (),
            ready=ready,
        )

    def _rates(self, state: State | None) -> Counts | None:
        if self.tenants is None:
            return None
        if state is None:
            return Rates(self.tenants.limits)
        return SharedRates(self.tenants.limits, state)


@asynccontextmanager
async def identified(
    spec: str, *, signing_key: Path | None = None, issuer: str = RUNTIME, token: str = ""
) -> AsyncGenerator[Known, None]:
    """What the Tenants at the path or URL say, followed inside the block; without one, nothing.

    Users are stated to agents where it is known who asks, or a key to sign with is given.
    """
    signer = Signer.read(signing_key, issuer=issuer) if signing_key else None
    if not spec:
        yield Known(None, signer)
        return
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(open_source(spec, token=token))
        tenants = await stack.enter_async_context(Tenants(source.store))
        yield Known(tenants, signer or Signer(issuer=issuer))


def check_open(host: str, identity_given: bool, allowed: bool) -> None:
    """`InvalidInput` where everybody on the network could ask in everybody's name."""
    if identity_given or allowed or is_loopback(host):
        return
    raise errors.InvalidInput(
        f"on {host} everybody who can reach this machine could ask in every tenant's name: give "
        "--identity with the tenants' keys, or say --open where something in front of it checks"
    )


def identity_words(spec: str) -> str:
    """What people are told of it."""
    return f"keys and tokens of {spec}" if spec else "open: whoever reaches this port may ask"
