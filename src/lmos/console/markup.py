"""Resources and decisions as pieces of HTML. What comes from outside is escaped."""

from html import escape

from lmos.controlplane import Event
from lmos.model import Agent, Channel, Decision


def decision(found: Decision) -> str:
    """A decision that opens on a click: its reason, and the candidates with their evidence."""
    rows = "".join(
        f"<tr><td>{escape(c.agent)}</td>"
        f'<td><span class="lm-meter"><i style="width:{c.probability:.0%}"></i></span> '
        f"{c.probability:.2f}</td><td>{escape(c.capability)}</td>"
        f"<td>{_evidence(c.evidence.text, c.evidence.score) if c.evidence else ''}</td></tr>"
        for c in found.candidates[:6]
    )
    took = " · ".join(f"{escape(name)} {ms:.1f} ms" for name, ms in found.timings.items())
    return (
        '<details class="lm-decision"><summary>why</summary>'
        f"<div>{escape(found.outcome.replace('_', ' '))}: {escape(found.reason)}</div>"
        f"<table>{rows}</table><div>{took}</div></details>"
    )


def agent(found: Agent, channels: list[str]) -> str:
    """An agent: health, version, and when opened its capabilities and who uses it."""
    ready = found.status.condition("Ready")
    good = found.status.is_true("Ready")
    colour = "lm-good" if good else "lm-bad" if ready and ready.status == "False" else "lm-warn"
    state = "ready" if good else escape((ready.message if ready else "") or "not known yet")
    offers = "".join(
        f"<div><b>{escape(c.name)}</b> <span class='lm-soft'>{escape(c.version)} · "
        f"{escape(c.description)}</span></div>"
        for c in found.spec.provided_capabilities
    )
    used = " ".join(f'<span class="lm-tag">{escape(name)}</span>' for name in channels)
    return (
        f'<summary><span class="lm-dot {colour}"></span><b>{escape(found.name)}</b>'
        f'<span class="lm-soft">{escape(found.spec.version)} · {state}</span>'
        f"</summary><div class='lm-soft'>{escape(found.spec.description)}</div>"
        f"<div>{used or '<span class=lm-soft>no channel uses it</span>'}</div>{offers}"
    )


def channel(found: Channel) -> str:
    """A channel: resolved or not, and for each missing capability why."""
    missing = found.status.unresolved_required_capabilities
    total = len(found.spec.required_capabilities)
    resolved = found.status.resolve_status == "RESOLVED"
    colour = "lm-good" if resolved else "lm-warn"
    reasons = "".join(f"<div class='lm-warn'>{escape(m.message or m.name)}</div>" for m in missing)
    if not missing and not resolved:
        condition = found.status.condition("Resolved")
        reasons = f"<div class='lm-warn'>{escape(condition.message if condition else '')}</div>"
    needs = "".join(
        f"<div class='lm-soft'>{escape(c.name)} {escape(c.version)}</div>"
        for c in found.spec.required_capabilities
    )
    return (
        f'<summary><span class="lm-dot {colour}"></span>'
        f"<b>{escape(found.tenant)}/{escape(found.channel)}</b>"
        f'<span class="lm-soft">{escape(found.subset)} · '
        f"{'resolved' if resolved else 'unresolved'} ({total - len(missing)} of {total})</span>"
        f"</summary>{reasons}{needs}"
    )


def event(found: Event) -> str:
    """An event as a line."""
    colour = "lm-warn" if found.type == "Warning" else "lm-soft"
    return (
        f'<span class="lm-soft">{found.time:%H:%M:%S}</span> '
        f'<b class="{colour}">{escape(found.reason)}</b> {escape(found.message)}'
    )


def _evidence(text: str, score: float) -> str:
    return f"“{escape(text)}” {score:.2f}"
