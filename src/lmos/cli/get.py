"""`lmos get`."""

import json
from collections.abc import Callable
from typing import Any

import click

from lmos.cli.platform import Platform, fail, url_option

Row = tuple[str, ...]


def _condition(item: dict[str, Any], type_: str) -> dict[str, Any]:
    conditions = item.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == type_), {})


def _agent(item: dict[str, Any]) -> Row:
    spec, ready = item["spec"], _condition(item, "Ready")
    return (
        item["metadata"]["name"],
        spec.get("version", ""),
        "yes" if ready.get("status") == "True" else ready.get("reason", "unknown"),
        str(len(spec.get("providedCapabilities", []))),
        item.get("status", {}).get("address", {}).get("url", "") or spec.get("url", ""),
    )


def _channel(item: dict[str, Any]) -> Row:
    labels, spec, status = item["metadata"].get("labels", {}), item["spec"], item.get("status", {})
    required = len(spec.get("requiredCapabilities", []))
    open_ = status.get("unresolvedRequiredCapabilities", [])
    return (
        item["metadata"]["name"],
        spec.get("tenant") or labels.get("tenant", ""),
        spec.get("channel") or labels.get("channel", ""),
        spec.get("subset") or labels.get("subset", "stable"),
        f"{status.get('resolveStatus', 'UNRESOLVED')} ({required - len(open_)} of {required})",
        "; ".join(c.get("message") or f"{c['name']} {c['version']}" for c in open_),
    )


def _routing(item: dict[str, Any]) -> Row:
    labels, groups = item["metadata"].get("labels", {}), item["spec"].get("capabilityGroups", [])
    return (
        item["metadata"]["name"],
        labels.get("tenant", ""),
        labels.get("channel", ""),
        labels.get("subset", ""),
        ", ".join(f"{g['name']} ({len(g['capabilities'])})" for g in groups),
    )


#: What is printed of each kind: its plural, the columns, and the row of an object.
VIEWS: dict[str, tuple[Row, Callable[[dict[str, Any]], Row]]] = {
    "agents": (("NAME", "VERSION", "READY", "CAPABILITIES", "ADDRESS"), _agent),
    "channels": (
        ("NAME", "TENANT", "CHANNEL", "SUBSET", "RESOLVED", "UNRESOLVED CAPABILITIES"),
        _channel,
    ),
    "channelroutings": (("NAME", "TENANT", "CHANNEL", "SUBSET", "AGENTS"), _routing),
}
_ALIASES = {
    "agent": "agents", "ag": "agents", "channel": "channels", "ch": "channels",
    "routings": "channelroutings", "routing": "channelroutings", "cr": "channelroutings",
    "channelrouting": "channelroutings",
}  # fmt: skip


@click.command(epilog="Example: lmos get channels")
@click.argument("kind", metavar="agents|channels|routings")
@click.argument("name", required=False)
@url_option
@click.option("-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table")
def command(kind: str, name: str | None, url: str | None, output: str) -> None:
    """List the platform's agents, channels or routings, or show one of them."""
    plural = _ALIASES.get(kind.lower(), kind.lower())
    if plural not in VIEWS:
        fail(f"there is no kind {kind!r}; ask for agents, channels or routings", code=2)
    found = Platform(url).get(f"/apis/lmos.eclipse/v1/{plural}")
    if name:
        found["items"] = [i for i in found["items"] if i["metadata"]["name"] == name]
        if not found["items"]:
            fail(f"{name!r} is not among the {plural}; see: lmos get {kind}")
    data = found["items"][0] if name else found
    if output == "json":
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
    elif output == "yaml":
        import yaml

        click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), nl=False)
    else:
        _table(plural, found["items"])


def _table(plural: str, items: list[dict[str, Any]]) -> None:
    columns, row = VIEWS[plural]
    if not items:
        click.echo(f"no {plural} yet")
        return
    rows = [columns, *(row(item) for item in items)]
    widths = [max(len(r[i]) for r in rows) for i in range(len(columns))]
    for cells in rows:
        line = "   ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        click.echo(line.rstrip())
