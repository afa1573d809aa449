"""`lmos resolve`."""

import json
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lmos.resolver import Resolution
    from lmos.store.manifests import Manifest


@click.command(epilog="Example: lmos resolve examples/acme -o yaml")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("-o", "--output", type=click.Choice(["table", "yaml", "json"]), default="table")
def command(paths: tuple[str, ...], output: str) -> None:
    """Resolve the Channels of manifests against their Agents, without a platform.

    PATH is a file, a directory or - for standard input. The exit code is 0 when every channel is
    resolved, 3 when a capability is not, 2 when a manifest is wrong.
    """
    from lmos.store.manifests import read

    found = read(paths)
    for problem in found.problems:
        click.echo(str(problem), err=True)
    if found.problems:
        sys.exit(2)
    resolutions = _resolve(found.manifests)
    if not resolutions:
        click.echo("lmos: there is no Channel in " + ", ".join(paths), err=True)
        sys.exit(2)
    _print(resolutions, output)
    sys.exit(0 if all(r.resolved for r in resolutions) else 3)


def _resolve(manifests: "tuple[Manifest, ...]") -> "list[Resolution]":
    from lmos.model import Agent, Channel
    from lmos.resolver import Offers, resolve

    resources = [m.resource for m in manifests]
    offers = Offers(r for r in resources if isinstance(r, Agent))
    channels = sorted((r for r in resources if isinstance(r, Channel)), key=lambda c: str(c.key))
    return [resolve(offers, channel) for channel in channels]


def _print(resolutions: "list[Resolution]", output: str) -> None:
    if output == "table":
        for resolution in resolutions:
            click.echo("\n".join(_lines(resolution)))
        return
    data = {
        "channels": [r.channel.wire() for r in resolutions],
        "routings": [r.routing.wire() for r in resolutions],
    }
    if output == "json":
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        import yaml

        click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), nl=False)


def _lines(resolution: "Resolution") -> list[str]:
    """A channel: its state, then each capability with who serves it or why nobody does."""
    channel = resolution.channel
    total = len(channel.spec.required_capabilities)
    missing = channel.status.unresolved_required_capabilities
    state = "resolved" if resolution.resolved else "UNRESOLVED"
    head = f"{channel.tenant or '?'}/{channel.channel or '?'} ({channel.name}, {channel.subset})"
    lines = [f"{head}  {state}  {total - len(missing)} of {total}"]
    for group in resolution.routing.spec.capability_groups:
        for capability in group.capabilities:
            needs = f"{capability.name} {capability.required_version}"
            lines.append(f"  {needs:<36} {group.name} {capability.provided_version}")
    for unresolved in missing:
        needs = f"{unresolved.name} {unresolved.version}"
        lines.append(f"  {needs:<36} {unresolved.reason}: {unresolved.message}")
    return lines
