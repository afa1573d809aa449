"""What is kept of a turn's decision, so that it can be explained, judged and made again."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from lmos.model.base import Model, Strict, Tuple
from lmos.model.conversation import Message
from lmos.model.decision import Decision
from lmos.model.turn import Usage

#: How a turn, or an agent's part in it, ended; empty while it has not.
Ended = Literal["", "done", "input_required", "handover", "error", "cancelled"]


class Feedback(Strict):
    """What somebody thought of a turn's answer: `rating` -1, 0 or 1; `agent` is who should have
    been asked (`out_of_scope` for nobody), where that is known.
    """

    rating: Literal[-1, 0, 1] = 0
    agent: str = Field(default="", max_length=256)
    comment: str = Field(default="", max_length=2_000)


class Asked(Model):
    """An agent that was asked, and how its part ended after so many seconds. `error` is the code of
    what it failed of and `message` its words, `to` whom it handed over to.
    """

    agent: str
    version: str = ""
    ended: Ended = ""
    error: str = ""
    message: str = ""
    to: str = ""
    seconds: float = 0.0


class Shadowed(Model):
    """What another router, or the same one over another table, made of the same message beside the
    turn; `error` is why nothing. `same` tells whether it is what was decided.
    """

    name: str
    decision: Decision | None = None
    same: bool = False
    error: str = ""
    seconds: float = 0.0


class DecisionRecord(Model):
    """A decision with what it was made of and what came of it.

    `messages` is the conversation as the router was asked, its last messages alone, and empty where
    the setting keeps only `text_hash`: the HMAC-SHA256 of the new message under a key of the
    platform, by which the same words are known again. `active_agent` is who answered last (and
    `waiting` for a reply), `offered` the agents to choose from, `explicit_agent` whom the caller
    insisted on. `asked` are the agents asked, in order. `error` and `message` tell what the turn
    failed of. Durations are seconds since the router was asked, `first_token` 0 where no text came.
    """

    at: datetime
    tenant: str
    channel: str
    subset: str
    conversation_id: str
    turn_id: str
    decision: Decision
    text_hash: str = ""
    messages: Tuple[Message] = ()
    active_agent: str = ""
    waiting: bool = False
    offered: Tuple[str] = ()
    explicit_agent: str = ""
    asked: Tuple[Asked] = ()
    ended: Ended = ""
    error: str = ""
    message: str = ""
    first_token: float = 0.0
    total: float = 0.0
    usage: Usage = Usage()
    shadow: Shadowed | None = None
    feedback: Feedback | None = None

    @property
    def text(self) -> str:
        """The message that was decided on, empty where it was not kept."""
        return self.messages[-1].content if self.messages else ""
