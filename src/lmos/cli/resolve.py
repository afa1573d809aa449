"""`lmos resolve`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lmos.model import Agent, Resource
    from lmos.resolver import Resolution


@click.command(epilog="Example: lmos resolve examples/acme -o yaml")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("-o", "--output", type=click.Choice(["table", "yaml", "json"]), default="table")
def command(paths: tuple[str, ...], output: str) -> None:
    """Resolve the Channels of manifests against their Agents, without a platform.

    PATH is a file, a directory or - for standard input. Of a directory that `lmos up` runs, the
    agents in its code count too. The exit code is 0 when every channel is resolved, 3 when a
    capability is not, 2 when a manifest is wrong.
    """
    from lmos.store.manifests import read

    found = read(paths)
    for problem in found.problems:
        click.echo(str(problem), err=True)
    if found.problems:
        sys.exit(2)
    resolutions = _resolve([m.resource for m in found.manifests], _in_code(paths))
    if not resolutions:
        click.echo("lmos: there is no Channel in " + ", ".join(paths), err=True)
        sys.exit(2)
    _print(resolutions, output)
    sys.exit(0 if all(r.resolved for r in resolutions) else 3)


def _in_code(paths: tuple[str, ...]) -> "list[Agent]":
    """The agents that the directories hold as code."""
    from lmos.cli.agents import descriptions
    from lmos.model import Agent, AgentSpec, ObjectMeta

    directories = [Path(path) for path in paths if path != "-" and Path(path).is_dir()]
    return [
        Agent(
            metadata=ObjectMeta(name=said.name),
            spec=AgentSpec(
                version=said.version,
                description=said.description,
                supported_tenants=said.supported_tenants,
                supported_channels=said.supported_channels,
                provided_capabilities=said.capabilities,
            ),
        )
        for directory in directories
        for said in descriptions(directory)
    ]


def _resolve(resources: "list[Resource]", in_code: "list[Agent]") -> "list[Resolution]":
    from lmos.model import Agent, Channel
    from lmos.resolver import Offers, resolve

    agents = {agent.key: agent for agent in in_code}
    for agent in (r for r in resources if isinstance(r, Agent)):
        agents[agent.key] = _merged(agent, agents.get(agent.key))
    offers = Offers(agents.values())
    channels = sorted((r for r in resources if isinstance(r, Channel)), key=lambda c: str(c.key))
    return [resolve(offers, channel) for channel in channels]


def _merged(manifest: "Agent", in_code: "Agent | None") -> "Agent":
    """What a manifest says of an agent, and what its code says of the rest."""
    if in_code is None:
        return manifest
    said = {name: getattr(manifest.spec, name) for name in manifest.spec.model_fields_set}
    return manifest.but(spec=in_code.spec.but(**said))


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
    fallback = channel.status.condition("Fallback")
    if fallback and fallback.status == "False":
        lines.append(f"  {'fallback':<36} {fallback.reason}: {fallback.message}")
    return lines
