"""Conversation tests: what users say to an agent and what should come of it, in Markdown.

A file `NAME.test.md` beside the use cases holds tests; each is a conversation with checks after
every message, and other ways to say the same. `read` parses a file, `agent_for` finds the agent
that it is for, `run_tests` has the conversations, `reports` and `page` tell what came of them as
text, JSON, JUnit and HTML. A test is as good as its worst variant: 90 and more of 100 pass, 60 and
more in part.
"""

from lmos.testing.conversations.format import Check, Conversation, Message, find, read
from lmos.testing.conversations.judging import Judge
from lmos.testing.conversations.loading import agent_for
from lmos.testing.conversations.outcomes import Outcome, Report, Thresholds, Verdict
from lmos.testing.conversations.running import run_tests

__all__ = [
    "Check",
    "Conversation",
    "Judge",
    "Message",
    "Outcome",
    "Report",
    "Thresholds",
    "Verdict",
    "agent_for",
    "find",
    "read",
    "run_tests",
]
