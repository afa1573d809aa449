"""Agents and labelled messages from files: our manifests, the original's routing specs, and CSV."""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from lmos.model import Agent, Capability, RoutableAgent, errors

#: The label of a message that no agent should answer.
OUT_OF_SCOPE = "out_of_scope"


@dataclass(frozen=True, slots=True)
class Labelled:
    """A message with the agent that should answer it: `out_of_scope` for none, several by name with
    `;` between where each answers a part. Rows of one `conversation` follow each other in it;
    `intent` is the capability meant, where it is known.
    """

    text: str
    agent: str
    conversation: str = ""
    intent: str = ""


def read_agents(path: Path) -> list[RoutableAgent]:
    """The agents of a file: Agent manifests (YAML or JSON), or the original's
    agentRoutingSpecs.json. `InvalidInput` when it has none.
    """
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise errors.InvalidInput(f"{path} cannot be read: {error}") from None
    items = [item for document in documents for item in _items(document)]
    found = [agent for item in items if (agent := _agent(item, path))]
    if not found:
        raise errors.InvalidInput(f"{path} has no agents; give Agent manifests or routing specs")
    return found


def read_labelled(path: Path) -> list[Labelled]:
    """The labelled messages of a file. A CSV has the columns `instruction,agent`, and
    `conversation` or `intent` if there are. Of JSON lines (`*.jsonl`) each is such an object, with
    `text` and `label` as well, or a record of the decision log: those with feedback tell a label.
    """
    try:
        text = path.read_text(encoding="utf-8")
        lines = path.suffix.lower() in (".jsonl", ".ndjson")
        rows = _json_lines(text) if lines else list(csv.DictReader(io.StringIO(text, newline="")))
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise errors.InvalidInput(f"{path} cannot be read: {error}") from None
    found = [_labelled(row) for row in rows]
    if not rows or (None in found and not any("decision" in row for row in rows)):
        raise errors.InvalidInput(f"{path} must have rows with the columns instruction,agent")
    return [row for row in found if row is not None]


def _json_lines(text: str) -> list[dict[str, Any]]:
    """The objects, those of the decision log in the order in which they were made."""
    rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("each line must be a JSON object")
    return sorted(rows, key=lambda row: str(row.get("at", "")))


def _labelled(row: dict[str, Any]) -> Labelled | None:
    """The row as a labelled message; None where it does not tell whose it is."""
    if "decision" in row:
        return _judged(row)
    text, agent = row.get("instruction", row.get("text")), row.get("agent", row.get("label"))
    if not isinstance(text, str) or not isinstance(agent, str):
        return None
    conversation, intent = row.get("conversation") or "", row.get("intent") or ""
    return Labelled(text, _label(agent), str(conversation), str(intent))


def _judged(row: dict[str, Any]) -> Labelled | None:
    """What feedback says of a decision of the log: the agent that it names, or, where it praises,
    the one that was chosen. None without feedback, or where the message was not kept.
    """
    messages, feedback = row.get("messages") or [], row.get("feedback") or {}
    agent = feedback.get("agent") or (
        _chosen(row["decision"]) if feedback.get("rating") == 1 else ""
    )
    text = messages[-1].get("content", "") if messages else ""
    if not text or not agent:
        return None
    return Labelled(text, _label(agent), str(row.get("conversationId", "")))


def _chosen(decision: dict[str, Any]) -> str:
    """The label of a decision of the log, empty where it asked back or parted the message."""
    if decision.get("outcome") == OUT_OF_SCOPE:
        return OUT_OF_SCOPE
    candidates = decision.get("candidates") or [{}]
    return str(candidates[0].get("agent", "")) if decision.get("outcome") == "route" else ""


def _label(agent: str) -> str:
    """The label, several agents in the order of their names."""
    return ";".join(sorted(part.strip() for part in agent.split(";")))


def with_examples(
    agents: Sequence[RoutableAgent], examples: Sequence[Labelled]
) -> list[RoutableAgent]:
    """The agents with more examples; without any agents, one for each label of the examples
    but `out_of_scope`, which is nobody.
    """
    by_agent: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in examples:
        by_agent[row.agent][row.intent].append(row.text)
    known = {agent.name: agent for agent in agents} or {
        name: RoutableAgent(name=name)
        for name in sorted(by_agent)
        if name != OUT_OF_SCOPE and ";" not in name
    }
    return [
        agent.but(capabilities=tuple(_extended(agent, by_agent.get(agent.name, {}))))
        for agent in known.values()
    ]


def _extended(agent: RoutableAgent, more: "dict[str, list[str]]") -> Iterator[Capability]:
    """The agent's capabilities with their new examples, then those it did not have."""
    left = dict(more)
    for capability in agent.capabilities:
        texts = left.pop(capability.name, left.pop(capability.id, []))
        yield capability.but(examples=(*capability.examples, *texts))
    for intent, texts in left.items():
        yield Capability(name=intent or agent.name, version="1.0.0", examples=tuple(texts))


def _items(document: Any) -> Iterator[dict[str, Any]]:
    """The objects of a document: itself, a list's, a `List`'s, or those below capabilityGroups."""
    if isinstance(document, list):
        for item in document:
            yield from _items(item)
    elif isinstance(document, dict):
        nested = document.get("items") or document.get("capabilityGroups")
        if isinstance(nested, list):
            yield from _items(nested)
        else:
            yield document


def _agent(item: dict[str, Any], path: Path) -> RoutableAgent | None:
    try:
        if item.get("kind") == "Agent":
            agent = Agent.model_validate(item)
            return RoutableAgent(
                name=agent.name,
                description=agent.spec.description,
                version=agent.spec.version,
                capabilities=agent.spec.provided_capabilities,
            )
        if "name" in item and "capabilities" in item:
            offers = [{"version": "1.0.0", **_named(c)} for c in item["capabilities"]]
            words = {k: item.get(k, "") for k in ("name", "description", "version")}
            return RoutableAgent.model_validate({**words, "capabilities": offers})
    except (ValidationError, TypeError) as error:
        raise errors.InvalidInput(f"{path}: an agent cannot be read: {error}") from None
    return None


def _named(capability: dict[str, Any]) -> dict[str, Any]:
    """A capability of the original's forms, which may have an id and no name."""
    known = ("id", "name", "version", "description", "examples")
    return {
        "name": capability.get("id", ""),
        **{k: capability[k] for k in known if k in capability},
    }
