"""`lmos runtime`."""

from pathlib import Path

import click

from lmos.cli.routers import router_model_option


@click.command(epilog="Example: lmos runtime --routings http://lmos-operator:8080")
@click.option(
    "--routings",
    metavar="PATH|URL",
    envvar=["LMOS_ROUTINGS", "AGENT_REGISTRY_URL"],
    default=".",
    help="Manifests, the original's channelRoutings file, or a control plane.",
)
@click.option("--router", metavar="NAME", envvar="LMOS_ROUTER", help="How agents are chosen.")
@router_model_option
@click.option(
    "--fit",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    envvar="LMOS_ROUTER_FIT",
    help="The router's fitted numbers.",
)
@click.option(
    "--host", envvar="LMOS_HOST", default="127.0.0.1", show_default=True, help="Address to bind."
)
@click.option(
    "--port",
    type=int,
    envvar="LMOS_PORT",
    default=8081,
    show_default=True,
    help="0 for a free one.",
)
@click.option(
    "--state",
    metavar="SPEC",
    envvar="LMOS_STATE",
    default="sqlite",
    show_default=True,
    help="Where conversations are: memory, sqlite[:PATH], redis://..., postgresql://...",
)
@click.option(
    "--identity",
    metavar="PATH|URL",
    envvar="LMOS_IDENTITY",
    default="",
    help="Tenant manifests: who may ask in whose name.",
)
@click.option("--open", "open_", is_flag=True, envvar="LMOS_OPEN", help="Let everybody ask.")
@click.option(
    "--signing-key",
    metavar="PEM",
    envvar="LMOS_SIGNING_KEY",
    type=click.Path(exists=True, path_type=Path),
    help="Ed25519 key, or a directory of such, that states users to agents.",
)
@click.option("--issuer", envvar="LMOS_ISSUER", help="What this runtime calls itself to agents.")
@click.option(
    "--cors-origin", metavar="ORIGIN", multiple=True, envvar="LMOS_CORS", help="Page that may ask."
)
def command(
    routings: str,
    router: str | None,
    router_model: str,
    fit: Path | None,
    host: str,
    port: int,
    state: str,
    identity: str,
    open_: bool,
    signing_key: Path | None,
    issuer: str | None,
    cors_origin: tuple[str, ...],
) -> None:
    """Serve turns of tenants' channels: the runtime alone, with routings from elsewhere.

    Every option can be a variable of the environment: LMOS_ROUTINGS, LMOS_PORT, and so on.
    """
    import os

    from lmos.local.service import Service, Settings, serve
    from lmos.protocols import loop
    from lmos.protocols.tokens import RUNTIME
    from lmos.router import DEFAULT

    async def main() -> None:
        service = Service(
            Settings(
                routings=routings,
                host=host,
                port=port,
                router=router or DEFAULT,
                model=router_model,
                fit=fit,
                state=state,
                identity=identity,
                open=open_,
                signing_key=signing_key,
                issuer=issuer or RUNTIME,
                token=os.environ.get("LMOS_ROUTINGS_TOKEN", ""),
                origins=cors_origin,
            )
        )
        await serve(service)

    loop.run(main())
