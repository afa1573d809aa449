"""Stages of decisions that no router made."""

#: People have the conversation; a language model plans over the agents.
HUMAN, SUPERVISED = "human", "supervised"
UNROUTED = frozenset((HUMAN, SUPERVISED))
