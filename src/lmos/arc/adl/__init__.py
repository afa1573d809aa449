"""ADL, the Agent Definition Language: what an agent does, in Markdown anybody can write.

`parse` reads a document into use cases with positions and collects all that is wrong, `check_tools`
and `check_replies` what of it the agent cannot do. `rendered` and `lines_that_hold` say what of it
counts in a turn. `mustache` fills the replies it quotes.
"""

from lmos.arc.adl.ast import (
    Block,
    Comment,
    Condition,
    Diagnostic,
    Document,
    Fence,
    Line,
    Option,
    Part,
    Role,
    SectionName,
    UseCase,
)
from lmos.arc.adl.checks import check_replies, check_tools
from lmos.arc.adl.parser import parse
from lmos.arc.adl.render import (
    Facts,
    applies,
    lines_that_hold,
    parts_that_hold,
    rendered,
    solution_of,
)

__all__ = [
    "Block",
    "Comment",
    "Condition",
    "Diagnostic",
    "Document",
    "Facts",
    "Fence",
    "Line",
    "Option",
    "Part",
    "Role",
    "SectionName",
    "UseCase",
    "applies",
    "check_replies",
    "check_tools",
    "lines_that_hold",
    "parse",
    "parts_that_hold",
    "rendered",
    "solution_of",
]
