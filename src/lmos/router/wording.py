"""What an agent's own words, its name and descriptions, become as texts that messages are near to.

A user speaks of one thing; a description lists several behind "This agent is responsible for". So
each phrase is a text of its own, and a name is one together with its agent's name and in a question
about it. With several examples of what users say, the description and the name alone are enough.
"""

import re
from collections.abc import Sequence

from lmos.model import Capability, RoutableAgent

#: Examples of a capability from which on its phrases tell nothing more.
ENOUGH = 5
#: Phrases of a description that become texts, at most.
MAX_PHRASES = 8

_OPENING = re.compile(
    r"(?:(?:(?:this|the|an?) )?"
    r"(?:agent|assistant|bot|capability|feature|function|service|skill|tool)s? "
    r"(?:is |are |can |may |will )?)?"
    r"(?:able to|answers? questions (?:about|on)|deals? with|designed (?:to|for)|handles?|helps?"
    r"(?: users?| customers?)?(?: with| to)?|manages?|provides?|responsible for|supports?"
    r"|takes? care of|used (?:to|for)) ",
    re.IGNORECASE,
)
_BETWEEN = re.compile(
    r"[,;:()\n]|[.!?](?:\s|$)| such as | including | for example | like | or | and "
    r"|\be\.g\.|\betc\b|\bor not\b",
    re.IGNORECASE,
)
_LETTER = re.compile(r"[^\W\d_]")
_AGENT = re.compile(r"\b(?:agent|assistant|bot)s?\b", re.IGNORECASE)
_JOINTS = re.compile(r"[-_\s]+")


def spoken(name: str) -> str:
    """A name as words."""
    return _JOINTS.sub(" ", name).strip()


def phrases(description: str) -> list[str]:
    """The things that a description lists, without how it opens."""
    text = description.strip()
    opening = _OPENING.match(text)
    parts = _BETWEEN.split(text[opening.end() :] if opening else text)
    stripped = (part.strip(" \t.-*'\"") for part in parts)
    return [part for part in stripped if len(_LETTER.findall(part)) > 2][:MAX_PHRASES]


def of_capability(agent: RoutableAgent, capability: Capability) -> list[str]:
    """The texts of what is said of a capability, its examples apart, without repetition."""
    name, description = spoken(capability.name), capability.description.strip()
    texts = [description, name]
    if len(capability.examples) < ENOUGH:
        texts += [*_named(agent, name), *phrases(description)]
    return _distinct(texts)


def of_agent(agent: RoutableAgent) -> list[str]:
    """The texts of an agent without capabilities: at least one."""
    description, name = agent.description.strip(), spoken(agent.name)
    return _distinct([description or name or agent.name, *phrases(description)])


def _named(agent: RoutableAgent, name: str) -> list[str]:
    """The name with what the agent's name adds to it, and in a question."""
    told = {word.lower() for word in name.split()}
    whose = _AGENT.sub("", spoken(agent.name)).split()
    more = " ".join(word for word in whose if word.lower() not in told)
    both = [f"{more} {name}"] if more else []
    return [*both, f"I have a question about {name}"] if name else []


def _distinct(texts: Sequence[str]) -> list[str]:
    return [text for text in dict.fromkeys(texts) if text]
