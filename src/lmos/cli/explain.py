"""`lmos explain`."""

import json
from typing import Any

import click

from lmos.cli.ask import split_words
from lmos.cli.platform import Platform, output_option, path_of, url_option


@click.command(epilog='Example: lmos explain acme/web "how much do I owe you?"')
@click.argument("words", nargs=-1, required=True, metavar="[TENANT/CHANNEL] TEXT")
@url_option
@output_option
def command(words: tuple[str, ...], url: str | None, output: str) -> None:
    """Show which agent a message would go to and why, without asking it."""
    platform = Platform(url)
    channel, text = split_words(words)
    tenant, name = platform.channel(channel)
    path = path_of("apis", "v1", "tenants", tenant, "channels", name, "decision")
    decision = platform.post(path, {"text": text})
    if output == "json":
        click.echo(json.dumps(decision, indent=2, ensure_ascii=False))
        return
    for line in lines(decision):
        click.echo("  " + line)


def lines(decision: dict[str, Any]) -> list[str]:
    """The candidates as a table, then what was decided, how, and how long it took."""
    candidates = decision.get("candidates", [])
    agents = max((len(c["agent"]) for c in candidates), default=0)
    names = max((len(c.get("capability", "")) for c in candidates), default=0)
    rows = []
    for candidate in candidates:
        row = f"{candidate['agent']:<{agents}}  {candidate['probability']:.2f}"
        row += f"  {candidate.get('capability', ''):<{names}}"
        if evidence := candidate.get("evidence"):
            row += f'  "{evidence["text"]}" ({evidence["score"]:.2f})'
        rows.append(row.rstrip())
    took = " · ".join(f"{k} {v:.1f} ms" for k, v in decision.get("timings", {}).items())
    outcome = decision["outcome"].replace("_", " ")
    rows += [f"{task['agent']}: {task['text']}" for task in decision.get("tasks", [])]
    rows.append(f"{outcome} ({decision.get('confidence', 0):.2f}): {decision.get('reason', '')}")
    how = " · ".join(part for part in (_asked(decision), took) if part)
    return [*rows, how] if how else rows


def _asked(decision: dict[str, Any]) -> str:
    """The stage that decided, and the language model where one was asked, with what it cost."""
    model, cost = decision.get("model", ""), decision.get("cost", 0.0)
    asked = f"asked {model}" + (f" for {cost:.5f} USD" if cost else "") if model else ""
    return ", ".join(part for part in (decision.get("stage", ""), asked) if part)
