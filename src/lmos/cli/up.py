"""`lmos up`."""

from pathlib import Path

import click


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
def command(
    directory: Path, host: str, port: int | None, no_console: bool, identity: str, open_: bool
) -> None:
    """Run the platform of a directory on this machine: its agents, tenants and channels.

    Agents are agents/<name>/agent.py; every *.yaml is a manifest. What changes is loaded again.
    Ctrl-C stops all of it.
    """
    from lmos.local.run import run

    run(
        directory,
        host=host,
        port=port,
        console=not no_console,
        identity=identity,
        open_to_all=open_,
    )
