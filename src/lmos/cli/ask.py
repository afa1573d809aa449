"""`lmos ask`."""

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import click

from lmos.cli.platform import Platform, fail, output_option, path_of, url_option


@click.command(epilog='Example: lmos ask acme/web "how much do I owe you?"')
@click.argument("words", nargs=-1, required=True, metavar="[TENANT/CHANNEL] TEXT")
@click.option("--conversation", help="Go on with this conversation (default: a new one).")
@click.option("--user", default="", help="The user's id.")
@click.option("--agent", help="Insist on this agent.")
@url_option
@output_option
def command(
    words: tuple[str, ...],
    conversation: str | None,
    user: str,
    agent: str | None,
    url: str | None,
    output: str,
) -> None:
    """Ask a channel one question and print who answered, and what."""
    platform = Platform(url)
    channel, text = split_words(words)
    turn = ask(platform, platform.channel(channel), text, conversation=conversation, user=user,
               agent=agent)  # fmt: skip
    if output == "json":
        click.echo(json.dumps(turn, indent=2, ensure_ascii=False))
    else:
        content = turn["content"].replace("\n", "\n  ")
        click.echo(f"  {headline(turn)}\n  {content}")


def split_words(words: tuple[str, ...]) -> tuple[str | None, str]:
    """Channel and text: with one word there is no channel, more than two are an error."""
    if len(words) == 1:
        return None, words[0]
    if len(words) == 2:
        return words[0], words[1]
    fail("too many words; put the message in quotes", code=2)


def ask(
    platform: Platform,
    channel: tuple[str, str],
    text: str,
    *,
    conversation: str | None = None,
    user: str = "",
    agent: str | None = None,
) -> dict[str, Any]:
    """One turn, gathered: ids, agent, decision, content, use case, time. Errors end here."""
    conversation = conversation or uuid.uuid4().hex[:12]
    began = time.perf_counter()
    turn: dict[str, Any] = {"conversation": conversation, "content": "", "agent": ""}
    turn["turn"] = uuid.uuid4().hex[:12]
    for event in turn_events(
        platform, channel, text, conversation, user=user, agent=agent, turn=turn["turn"]
    ):
        gather(turn, event)
    turn["milliseconds"] = round((time.perf_counter() - began) * 1000)
    return turn


def turn_events(
    platform: Platform,
    channel: tuple[str, str],
    text: str,
    conversation: str,
    *,
    user: str = "",
    agent: str | None = None,
    turn: str = "",
) -> Iterator[dict[str, Any]]:
    """The events of one turn of a conversation, a terminal one last. Errors end here."""
    inputs: dict[str, Any] = {"messages": [{"role": "user", "content": text}]}
    if agent:
        inputs["explicitAgent"] = agent
    body = {
        "inputContext": inputs,
        "systemContext": {"channelId": channel[1]},
        "userContext": {"userId": user},
    }
    path = path_of("apis", "v1", channel[0], "chat", conversation, "message")
    last = ""
    for event in platform.stream(path, body, {"x-turn-id": turn or uuid.uuid4().hex[:12]}):
        last = event["type"]
        yield event
    if last not in ("done", "input_required", "handover", "error"):
        fail("the platform broke off in the middle of its answer")


def gather(turn: dict[str, Any], event: dict[str, Any]) -> None:
    """Adds what the event tells to the turn."""
    match event["type"]:
        case "started":
            turn["agent"] = event["agent"]
            turn["version"] = event.get("version", "")
        case "decision":
            turn["decision"] = event["decision"]
        case "message" | "input_required":
            turn["content"] = event["message"]["content"]
            turn["context"] = event.get("context", {})
        case "done":
            turn["usage"] = event.get("usage", {})
        case "error":
            fail(event["error"]["message"])


def headline(turn: dict[str, Any]) -> str:
    """Who answered, how sure the router was, for which use case, and how long it took."""
    return f"{who(turn)} · {details(turn)}"


def who(turn: dict[str, Any]) -> str:
    """The agent, and how sure the router was; or why it asked none."""
    decision = turn.get("decision", {})
    outcome = decision.get("outcome", "route")
    if outcome != "route":
        return f"{turn['agent']} ({outcome.replace('_', ' ')})"
    return f"{turn['agent']} {decision.get('confidence', 0):.2f}"


def details(turn: dict[str, Any]) -> str:
    """The use case, where one is told, and how long it took."""
    use_case = turn.get("context", {}).get("useCase")
    took = f"{turn['milliseconds']} ms"
    return f"{use_case} · {took}" if use_case else took
