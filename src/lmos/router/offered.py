"""Understanding the reply to "which of these do you mean?".

The reply is by place ("the second"), by words that only one of the agents offered has ("the
contract one"), for several ("both"), for any or for none ("neither"). What says more than that is
no reply, and decided as any other message. Whoever means several wants done what was asked before
the question, each agent its part.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lmos.model import Candidate, Decision, RoutableAgent, SubTask

#: Words, fillers left out, that a reply by words has at most.
LONGEST = 4

_WORD = re.compile(r"[^\W_]+")
_BETWEEN = re.compile(r"[,;.!?]\s|\b(?:and then|and also|and|then|also|as well as|plus)\b", re.I)
_PLACES = {
    **dict.fromkeys(("1", "1st", "first", "former"), 0),
    **dict.fromkeys(("2", "2nd", "second", "two"), 1),
    **dict.fromkeys(("3", "3rd", "third", "three"), 2),
    **dict.fromkeys(("last", "latter"), -1),
}
_ONE = re.compile(r"(option |number |the )?(number |option )?one")
_YES = frozenset(["yes", "yeah", "yep", "sure", "ok", "okay", "right", "correct", "exactly"])
_SEVERAL = frozenset(["both", "all"])
_ANY = frozenset(["either", "any", "whichever", "whatever"])
_NONE = frozenset(["no", "nope", "none", "neither", "nothing"])
_ELSE = frozenset(("else",))
_OTHER = frozenset(("something", "other", "another"))
_COUNTS = frozenset(("two", "three"))
_NEGATED = frozenset(["not", "without", "except", "don", "dont", "isn"])
_FILLERS = frozenset(
    """
    a an the one ones i me my it is s m d am was mean meant want would like to take choose pick
    please thanks option number choice agent about for with of on and or in at that this these those
    them you your can do need help thing think guess rather well just let us we be
    """.split()  # noqa: SIM905  (a list this long reads better as words)
)
#: Words of any question or request, which tell nothing of whose it is.
_ASKING = frozenset(
    """
    how what where when which who why will does did are were has have much many show tell see give
    get find make
    """.split()  # noqa: SIM905  (a list this long reads better as words)
)


@dataclass(frozen=True, slots=True)
class Choice:
    """What the user replied: the agent meant, or None with the reason: `refused` when it is none
    of them, else it is all. `named` when the agent is known by words, which another subject can
    have too.
    """

    agent: str | None
    reason: str
    refused: bool = False
    named: bool = False

    @property
    def several(self) -> bool:
        """Whether all agents offered are meant."""
        return self.agent is None and not self.refused


def choice_of(text: str, offered: Sequence[RoutableAgent]) -> Choice | None:
    """What the reply chooses of the agents, which are in the order in which they were offered; None
    when it says something else.
    """
    words = _WORD.findall(text.lower())
    if not offered or not words or not _NEGATED.isdisjoint(words):
        return None
    said = [word for word in words if word not in _FILLERS]
    if _only(said, _NONE | _ELSE, _OTHER):
        return Choice(None, "the user wants none of the agents offered", refused=True)
    left = [word for word in said if word not in _YES | _NONE]
    if _only(left, _SEVERAL, _COUNTS):
        return Choice(None, "the user means more than one of the agents offered")
    if _only(left, _ANY, _COUNTS):
        return Choice(offered[0].name, "any of the agents offered will do")
    return _placed(" ".join(words), left, offered) or _named(left, offered) or _sole(said, offered)


def decision_of(choice: Choice, offered: Sequence[RoutableAgent]) -> Decision:
    """The decision that follows. Whoever means several agents is asked again, for one answers,
    unless what was asked before can be given to them: see `tasks_of`.
    """
    certain: dict[str, object] = {"confidence": 1.0, "reason": choice.reason, "stage": "offered"}
    if choice.refused:
        return Decision(outcome="out_of_scope", out_of_scope=1.0).but(**certain)
    meant = [agent for agent in offered if choice.agent in (agent.name, None)]
    candidates = tuple(_candidate(agent, 1 / len(meant)) for agent in meant)
    outcome = "route" if choice.agent else "clarify"
    return Decision(outcome=outcome, candidates=candidates).but(**certain)


def parts_of(text: str) -> list[str]:
    """The parts of a request that asks for several things, in its words."""
    parts = [part.strip(" .,;!?") for part in _BETWEEN.split(text)]
    return [part for part in parts if len(_WORD.findall(part)) > 1]


def tasks_of(
    request: str, parts: Sequence[str], offered: Sequence[str], shares: Sequence[Sequence[float]]
) -> tuple[SubTask, ...]:
    """Whose each part of the request is, in its order, given the probability of each agent offered
    for each part. Where that leaves an agent without a part of its own all get the whole request.
    """
    best = []
    for place in range(len(offered)):
        mine = [part[place] / max(sum(part), 1e-9) for part in shares]
        best.append(max(range(len(parts)), key=mine.__getitem__) if mine else 0)
    if len(set(best)) < len(offered):
        return tuple(SubTask(text=request, agent=agent) for agent in offered)
    ordered = sorted(zip(best, offered, strict=True))
    return tuple(SubTask(text=parts[number], agent=agent) for number, agent in ordered)


def _candidate(agent: RoutableAgent, probability: float) -> Candidate:
    sole = agent.capabilities[0].key if len(agent.capabilities) == 1 else ""
    return Candidate(agent=agent.name, capability=sole, probability=probability)


def _only(words: Sequence[str], of: frozenset[str], beside: frozenset[str] = frozenset()) -> bool:
    """Whether a word is of these, and all others are too or may stand beside them."""
    return not of.isdisjoint(words) and (of | beside).issuperset(words)


def _placed(plain: str, left: Sequence[str], offered: Sequence[RoutableAgent]) -> Choice | None:
    """The agent by its place. "My last bill" names no place, so the place stands alone."""
    if _ONE.fullmatch(plain) and plain != "the one":
        left = ["1"]
    places = {_PLACES.get(word) for word in left}
    place = places.pop() if len(places) == 1 else None
    if place is None or place >= len(offered):
        return None
    agent = offered[place].name
    return Choice(agent, f"the user chose {agent} by its place among the agents offered")


def _named(left: Sequence[str], offered: Sequence[RoutableAgent]) -> Choice | None:
    """The only agent that all telling words are of, where at least half of the words are known."""
    if not 0 < len(left) <= LONGEST:
        return None
    names = [agent for agent in offered if _stems(agent.name) == {_stem(w) for w in left}]
    vocabularies = {agent.name: _vocabulary(agent) for agent in offered}
    having = [{n for n, has in vocabularies.items() if _stem(word) in has} for word in left]
    known = [names for names in having if names]
    telling = [names for names in known if len(names) == 1]
    meant = {agent.name for agent in names} or set[str]().union(*telling)
    if len(meant) != 1 or len(known) * 2 < len(left):
        return None
    agent = meant.pop()
    return Choice(agent, f"the user chose {agent} by words of its own", named=True)


def _sole(said: Sequence[str], offered: Sequence[RoutableAgent]) -> Choice | None:
    """The only agent offered, where the user agrees."""
    if len(offered) == 1 and _only(said, _YES):
        return Choice(offered[0].name, f"the user agreed to {offered[0].name}")
    return None


def _vocabulary(agent: RoutableAgent) -> frozenset[str]:
    """The stems of what the agent and its capabilities are called and described with."""
    said = [agent.name, agent.description]
    for capability in agent.capabilities:
        said += [capability.name, capability.description, *capability.examples]
    return _stems(*said)


def _stems(*texts: str) -> frozenset[str]:
    words = (word for text in texts for word in _WORD.findall(text.lower()))
    return frozenset(_stem(word) for word in words if word not in _FILLERS | _ASKING)


def _stem(word: str) -> str:
    """The word without its plural."""
    return word.removesuffix("s") if len(word) > 3 else word
