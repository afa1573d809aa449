"""`lmos explain`."""

import json
import re
from typing import Any

import click

from lmos.cli.ask import split_words
from lmos.cli.platform import Platform, fail, output_option, path_of, url_option

#: A conversation and one of its turns, as one word.
_TURN = re.compile(r"[^\s/]+/[^\s/]+")

_EPILOG = """Examples:

  lmos explain acme/web "how much do I owe you?"

  lmos explain 3f9a2c/last --tenant acme
"""


@click.command(epilog=_EPILOG)
@click.argument(
    "words", nargs=-1, required=True, metavar="[TENANT/CHANNEL] TEXT | CONVERSATION/TURN"
)
@click.option("--tenant", help="Whose conversation (default: the tenant with most to offer).")
@url_option
@output_option
def command(words: tuple[str, ...], tenant: str | None, url: str | None, output: str) -> None:
    """Show which agent a message would go to and why, without asking it; or how a turn of a
    conversation was decided, by which versions, and what each agent did.
    """
    platform = Platform(url)
    if len(words) == 1 and _TURN.fullmatch(words[0]):
        tenant = tenant or platform.channel(None)[0]
        path = turn_path(platform, tenant, words[0])
        told = platform.get(path)
        said = record_lines(told)
    else:
        channel, text = split_words(words)
        tenant, name = platform.channel(channel)
        path = path_of("apis", "v1", "tenants", tenant, "channels", name, "decision")
        told = platform.post(path, {"text": text})
        said = lines(told)
    if output == "json":
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    for line in said:
        click.echo("  " + line)


def turn_path(platform: Platform, tenant: str, word: str) -> str:
    """Where the turn of `CONVERSATION/TURN` is; the turn `last` is the conversation's newest."""
    conversation, _, turn = word.partition("/")
    place = ("apis", "v1", tenant, "conversations", conversation)
    if turn == "last":
        turns = platform.get(path_of(*place))["turns"]
        if not turns:
            fail(f"nothing is kept of the decisions in conversation {conversation}")
        turn = turns[-1]["turnId"]
    return path_of(*place, "turns", turn)


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
    how = " · ".join(part for part in (_how(decision), took) if part)
    return [*rows, how] if how else rows


def _how(decision: dict[str, Any]) -> str:
    """The stage that decided, and the language model where one was asked, with what it cost."""
    model, cost = decision.get("model", ""), decision.get("cost", 0.0)
    asked = f"asked {model}" + (f" for {cost:.5f} USD" if cost else "") if model else ""
    return ", ".join(part for part in (decision.get("stage", ""), asked) if part)


def record_lines(record: dict[str, Any]) -> list[str]:
    """How a turn was decided, by what, and what came of it."""
    decision = record["decision"]
    where = f"{record['tenant']}/{record['channel']} ({record['subset']})"
    words = [m["content"] for m in record.get("messages", [])][-1:]
    told = [
        f"turn        {record['turnId']} of {record['conversationId']}, {where}, {record['at']}",
        f"message     {words[0]}" if words else f"message     not kept (hash {record['textHash']})",
        *_before(record),
        *lines(decision),
        f"decided by  {_versions(decision)}",
        *(f"asked       {_asked(asked)}" for asked in record.get("asked", [])),
        f"ended       {_ended(record)}",
    ]
    return [*told, *_shadow(record), *_feedback(record)]


def _versions(decision: dict[str, Any]) -> str:
    """What decided: router, table, fitted numbers, language model, as far as there are."""
    named = [f"{what} {decision[what]}" for what in ("table", "fit", "model") if decision.get(what)]
    return ", ".join([decision.get("router", ""), *named])


def _before(record: dict[str, Any]) -> list[str]:
    found = []
    if record.get("activeAgent"):
        waits = ", which waits for a reply" if record.get("waiting") else ""
        found.append(f"with        {record['activeAgent']}{waits}")
    if record.get("offered"):
        found.append(f"offered     {', '.join(record['offered'])}")
    if record.get("explicitAgent"):
        found.append(f"insisted    on {record['explicitAgent']}")
    return found


def _asked(asked: dict[str, Any]) -> str:
    version = f" {asked['version']}" if asked.get("version") else ""
    onward = f" to {asked['to']}" if asked.get("to") else ""
    failed = ": ".join(filter(None, (asked.get("error"), asked.get("message"))))
    ended = asked.get("ended", "").replace("_", " ") + onward + (f" ({failed})" if failed else "")
    return f"{asked['agent']}{version}: {ended} after {asked['seconds'] * 1000:.0f} ms"


def _ended(record: dict[str, Any]) -> str:
    failed = ": ".join(filter(None, (record.get("error"), record.get("message"))))
    ended = record["ended"].replace("_", " ") + (f" ({failed})" if failed else "")
    first = record.get("firstToken", 0)
    began = f", first words after {first * 1000:.0f} ms" if first else ""
    return f"{ended} after {record['total'] * 1000:.0f} ms{began}"


def _shadow(record: dict[str, Any]) -> list[str]:
    shadow = record.get("shadow")
    if not shadow:
        return []
    if "decision" not in shadow:
        return [f"shadow      {shadow['name']}: {shadow.get('error', '')}"]
    decision = shadow["decision"]
    agent = decision["candidates"][0]["agent"] if decision["outcome"] == "route" else ""
    told = f"{decision['outcome'].replace('_', ' ')} {agent}".strip()
    return [f"shadow      {shadow['name']}: {'the same' if shadow['same'] else told}"]


def _feedback(record: dict[str, Any]) -> list[str]:
    feedback = record.get("feedback")
    if not feedback:
        return []
    rating = {1: "good", 0: "neither good nor bad", -1: "bad"}[feedback["rating"]]
    right = f", {feedback['agent']} was meant" if feedback["agent"] else ""
    comment = f": {feedback['comment']}" if feedback["comment"] else ""
    return [f"feedback    {rating}{right}{comment}"]
