"""What `lmos up` tells once everything is there. Pure: objects in, lines out."""

from collections.abc import Sequence

from lmos.local.identity import identity_words
from lmos.local.worker import Worker
from lmos.model import Agent, Channel

_LABEL = 11
#: How many unresolved capabilities of a channel are told; `lmos get channels` tells all.
_TOLD = 3


def agent_words(agents: Sequence[Agent], workers: Sequence[Worker]) -> list[str]:
    """One entry an agent: name, version, whether it is ready; failed processes say why."""
    words = []
    for agent in agents:
        ready = agent.status.condition("Ready")
        if agent.status.is_true("Ready"):
            state = "ready"
        else:
            state = f"not ready: {ready.message}" if ready and ready.message else "not ready"
        words.append(f"{agent.name} {agent.spec.version} {state}".replace("  ", " "))
    words += [f"{w.source.name} failed: {w.problem}" for w in workers if w.phase == "failed"]
    return words or ["none; start one with: lmos new agent NAME"]


def channel_words(channels: Sequence[Channel]) -> list[str]:
    """One entry a channel: resolved, or what is missing and what came nearest."""
    words = []
    for channel in channels:
        required = len(channel.spec.required_capabilities)
        missing = channel.status.unresolved_required_capabilities
        name = f"{channel.tenant}/{channel.channel}"
        if channel.subset != "stable":
            name += f" ({channel.subset})"
        if channel.status.resolve_status == "RESOLVED":
            words.append(f"{name} resolved ({required} of {required})")
            continue
        found = [
            f"{c.name} {c.version}" + (f" (nearest: {c.nearest[0]})" if c.nearest else "")
            for c in missing[:_TOLD]
        ]
        if len(missing) > _TOLD:
            found.append(f"and {len(missing) - _TOLD} more")
        words.append(f"{name} unresolved: {', '.join(found) or 'no agent serves it'}")
    return words or ["none; a Channel manifest (*.yaml) makes one"]


def banner(
    *,
    agents: Sequence[Agent],
    workers: Sequence[Worker],
    channels: Sequence[Channel],
    model: str,
    router: str,
    url: str,
    console: bool,
    identity: str = "",
    width: int = 100,
) -> str:
    """Everything that runs and where, as lines no wider than `width`."""
    chat = f"{url}    " if console else ""
    rows = [
        ("agents", " · ".join(agent_words(agents, workers))),
        ("channels", " · ".join(channel_words(channels))),
        ("model", model),
        ("router", router),
        ("identity", identity_words(identity)),
        ("chat" if console else "api", f"{chat}api {url}/apis/v1    stop with Ctrl-C"[
            0 if console else 4 :
        ]),
    ]  # fmt: skip
    return "\n".join(line for label, text in rows for line in _row(label, text, width))


def _row(label: str, text: str, width: int) -> list[str]:
    """A labelled entry, broken between its parts where it is too long."""
    first, *parts = text.split(" · ")
    lines = [first]
    for part in parts:
        if len(lines[-1]) + len(" · " + part + " ·") <= width - _LABEL - 2:
            lines[-1] += f" · {part}"
        else:
            lines[-1] += " ·"
            lines.append(part)
    indent = " " * (_LABEL + 2)
    return [f"  {label:<{_LABEL}}{lines[0]}", *(indent + line for line in lines[1:])]
