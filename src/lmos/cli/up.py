"""`lmos up`."""

from pathlib import Path

import click

from lmos.cli.routers import router_model_option


@click.command(epilog="Example: lmos up examples/acme")
@click.argument("directory", type=click.Path(path_type=Path), default=".", metavar="[DIR]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to bind.")
@click.option("--port", type=int, help="Port (default: 8080, or a free one if that is taken).")
@click.option("--no-console", is_flag=True, help="Leave the page out.")
@click.option(
    "--identity",
    metavar="PATH",
    envvar="LMOS_IDENTITY",
    default="",
    help="Tenant manifests: who may ask in whose name. Leaves the page out.",
)
@click.option("--open", "open_", is_flag=True, help="Let everybody ask, from other machines too.")
@click.option(
    "--router",
    metavar="NAME",
    default="cascade",
    show_default=True,
    envvar="LMOS_ROUTER",
    help="The router: cascade, vector, llm or hybrid.",
)
@router_model_option
@click.option(
    "--fit",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="The router's fitted numbers (default: router.json of the directory, where there is one).",
)
def command(
    directory: Path,
    host: str,
    port: int | None,
    no_console: bool,
    identity: str,
    open_: bool,
    router: str,
    router_model: str,
    fit: Path | None,
) -> None:
    """Run the platform of a directory on this machine: its agents, tenants and channels.

    Agents are agents/<name>/agent.py; every *.yaml is a manifest. What changes is loaded again.
    Ctrl-C stops all of it.
    """
    from lmos.local.routing import Routing
    from lmos.local.run import run

    run(
        directory,
        host=host,
        port=port,
        console=not no_console,
        identity=identity,
        open_to_all=open_,
        routing=Routing(router, router_model, fit),
    )
