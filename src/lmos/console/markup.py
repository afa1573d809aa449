"""Resources and decisions as pieces of HTML. What comes from outside is escaped."""

from html import escape

from lmos.controlplane import Event
from lmos.model import (
    Agent,
    Candidate,
    Channel,
    ChannelRouting,
    Condition,
    Decision,
    RequiredCapability,
    UnresolvedCapability,
)

CANDIDATES_SHOWN = 6
MISSING_SHOWN = 3


def decision(found: Decision) -> str:
    """A decision that opens on a click: its reason, and the candidates with their evidence."""
    rows = "".join(_candidate(c) for c in found.candidates[:CANDIDATES_SHOWN])
    head = "".join(
        f"<th scope=col>{title}</th>"
        for title in ("Agent", "Probability", "Capability", "Nearest known text")
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""
    took = " · ".join(f"{escape(name)} {ms:.1f} ms" for name, ms in found.timings.items())
    return (
        '<details class="lm-decision"><summary>why</summary>'
        f"<div>{escape(found.outcome.replace('_', ' '))}: {escape(found.reason)}</div>"
        f"{table}<div>{took}</div></details>"
    )


def agent(found: Agent, channels: list[str]) -> str:
    """An agent: health, version, and when opened its capabilities and who uses it."""
    ready = found.status.condition("Ready")
    state = "ready" if found.status.is_true("Ready") else _message(ready) or "not known yet"
    used = "".join(f'<span class="lm-tag">{escape(name)}</span>' for name in channels)
    offers = "".join(
        f"<li>{_term(c.name, c.version)}{_note(escape(c.description))}</li>"
        for c in found.spec.provided_capabilities
    )
    return (
        f"<summary>{_dot(_health(ready))}{_term(found.name, found.spec.version)}"
        f'<span class="lm-soft">{escape(state)}</span></summary>'
        f'<div class="lm-more">{_note(escape(found.spec.description))}'
        f'<div class="lm-tags">{used or _note("no channel uses it")}</div>'
        f"<ul>{offers or _note('it offers no capability')}</ul></div>"
    )


def channel(found: Channel, routing: ChannelRouting | None) -> str:
    """A channel: resolved or not, and for each requirement who meets it or why nobody does."""
    resolved = found.status.resolve_status == "RESOLVED"
    missing = {(c.name, c.version): c for c in found.status.unresolved_required_capabilities}
    total = len(found.spec.required_capabilities)
    met = f"{'resolved' if resolved else 'unresolved'} ({total - len(missing)} of {total})"
    providers = _providers(routing)
    rows = [_unmet(m) for m in missing.values()] + [
        _met(c, providers.get((c.name, c.version), ""))
        for c in found.spec.required_capabilities
        if (c.name, c.version) not in missing
    ]
    return (
        f"<summary>{_dot('good' if resolved else 'warn')}"
        f"<b>{escape(found.tenant)}/{escape(found.channel)}</b>"
        f'<span class="lm-soft">{escape(found.subset)} · {met}</span>'
        f'<span class="lm-missing">{"" if resolved else escape(_problem(found))}</span></summary>'
        f'<div class="lm-more"><ul>{"".join(rows) or _note("it requires nothing")}</ul></div>'
    )


def event(found: Event) -> str:
    """An event as a line."""
    colour = "lm-warn" if found.type == "Warning" else "lm-soft"
    return (
        f'<div class="lm-when"><time datetime="{found.time.isoformat()}">{found.time:%H:%M:%S}'
        f'</time><b class="{colour}">{escape(found.reason)}</b></div>{escape(found.message)}'
    )


def summary(agents: list[Agent], channels: list[Channel]) -> str:
    """How the platform is, in one line; nothing while there is nothing."""
    ready = [a.status.is_true("Ready") for a in agents]
    resolved = [c.status.resolve_status == "RESOLVED" for c in channels]
    return _share(ready, "agents ready") + _share(resolved, "channels resolved")


def _candidate(found: Candidate) -> str:
    near = found.evidence
    evidence = f"“{escape(near.text)}” {near.score:.2f}" if near else ""
    return (
        f"<tr><td>{escape(found.agent)}</td>"
        f'<td class="lm-share"><span class="lm-meter"><i style="width:{found.probability:.0%}">'
        f"</i></span>{found.probability:.2f}</td>"
        f"<td>{escape(found.capability)}</td><td>{evidence}</td></tr>"
    )


def _problem(found: Channel) -> str:
    """What is wrong with a channel, short enough for a line."""
    names = [f"{c.name} {c.version}" for c in found.status.unresolved_required_capabilities]
    if not names:
        return _message(found.status.condition("Resolved"))
    more = len(names) - MISSING_SHOWN
    return "missing " + ", ".join(names[:MISSING_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _unmet(found: UnresolvedCapability) -> str:
    why = escape(found.message or "nobody provides it")
    return (
        f'<li>{_dot("warn")}{_term(found.name, found.version)}<div class="lm-warn">{why}</div></li>'
    )


def _met(found: RequiredCapability, provider: str) -> str:
    return f"<li>{_dot('good')}{_term(found.name, found.version)}{_note(escape(provider))}</li>"


def _providers(routing: ChannelRouting | None) -> dict[tuple[str, str], str]:
    """By capability and range, the agent that serves it and the version."""
    return {
        (c.name, c.required_version): f"{group.name} {c.provided_version}"
        for group in (routing.spec.capability_groups if routing else ())
        for c in group.capabilities
    }


def _share(good: list[bool], what: str) -> str:
    if not good:
        return ""
    return f"<span>{_dot('good' if all(good) else 'warn')}{sum(good)} of {len(good)} {what}</span>"


def _health(ready: Condition | None) -> str:
    status = ready.status if ready else "Unknown"
    return {"True": "good", "False": "bad"}.get(status, "warn")


def _message(condition: Condition | None) -> str:
    return condition.message or condition.reason if condition else ""


def _dot(health: str) -> str:
    return f'<span class="lm-dot lm-{health}" aria-hidden="true"></span>'


def _term(name: str, version: str) -> str:
    return f'<b>{escape(name)}</b> <span class="lm-soft">{escape(version)}</span>'


def _note(text: str) -> str:
    return f'<div class="lm-soft">{text}</div>' if text else ""
