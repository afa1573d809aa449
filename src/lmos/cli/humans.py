"""`lmos humans`."""

import json
from typing import Any

import click

from lmos.cli.platform import Platform, output_option, path_of, url_option


@click.command(epilog="Example: lmos humans acme/web --release c-17 --said 'I have sent it again.'")
@click.argument("channel", required=False, metavar="[TENANT/CHANNEL]")
@click.option("--release", metavar="CONVERSATION", help="Give this one back to the agents.")
@click.option("--said", default="", help="What you told the user; the agents will know it.")
@url_option
@output_option
def command(
    channel: str | None, release: str | None, said: str, url: str | None, output: str
) -> None:
    """List the conversations that are with people, the longest first, or release one."""
    platform = Platform(url)
    tenant, name = platform.channel(channel)
    path = path_of("apis", "v1", "tenants", tenant, "channels", name, "humans")
    if release:
        found = platform.post(path + path_of(release, "release"), {"said": said})
    else:
        found = platform.get(path)["humans"]
    if output == "json":
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    elif release:
        click.echo(f"  {release} is with the agents again")
    else:
        click.echo("\n".join(map(_line, found)) or f"  no conversation of {tenant}/{name} waits")


def _line(held: dict[str, Any]) -> str:
    told = [held["conversationId"], held["queue"], held["since"], held.get("reason", "")]
    return "  " + "  ".join(filter(None, told))
