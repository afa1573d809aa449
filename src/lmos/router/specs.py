"""Agents and labelled messages from files: our manifests, the original's routing specs, and CSV."""

import csv
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
    """The rows of a CSV with the columns `instruction,agent`, and `conversation` or `intent` if
    there are.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise errors.InvalidInput(f"{path} cannot be read: {error}") from None
    if not rows or not {"instruction", "agent"} <= rows[0].keys():
        raise errors.InvalidInput(f"{path} must have rows with the columns instruction,agent")
    return [
        Labelled(
            text=row["instruction"],
            agent=_label(row["agent"]),
            conversation=row.get("conversation") or "",
            intent=row.get("intent") or "",
        )
        for row in rows
    ]


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
