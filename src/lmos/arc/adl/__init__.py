"""ADL, the Agent Definition Language: what an agent does, in Markdown anybody can write.

`parse` reads a document into use cases with positions and collects all that is wrong; `load` adds
what it refers to in other files. The `check_*` functions tell what of it an agent cannot do.
`parts_that_hold` decides over `Facts` what of it counts in a turn, `rendered` writes that for a
model. `formatted` writes a document as all are written. `mustache` fills the replies it quotes,
`compat` reads documents as the original ARC does.
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
from lmos.arc.adl.checks import check_conditions, check_fences, check_replies, check_tools
from lmos.arc.adl.facts import (
    Facts,
    applies,
    enforced_tools,
    lines_that_hold,
    parts_that_hold,
    present,
    solution_of,
)
from lmos.arc.adl.format import formatted
from lmos.arc.adl.parser import parse
from lmos.arc.adl.references import Files, Folder, Linked, Loader, link, load
from lmos.arc.adl.render import filled, rendered, rendered_role, text_of
from lmos.arc.adl.runners import RUNNERS, FenceFailed, Runner, Runners

__all__ = [
    "RUNNERS",
    "Block",
    "Comment",
    "Condition",
    "Diagnostic",
    "Document",
    "Facts",
    "Fence",
    "FenceFailed",
    "Files",
    "Folder",
    "Line",
    "Linked",
    "Loader",
    "Option",
    "Part",
    "Role",
    "Runner",
    "Runners",
    "SectionName",
    "UseCase",
    "applies",
    "check_conditions",
    "check_fences",
    "check_replies",
    "check_tools",
    "enforced_tools",
    "filled",
    "formatted",
    "lines_that_hold",
    "link",
    "load",
    "parse",
    "parts_that_hold",
    "present",
    "rendered",
    "rendered_role",
    "solution_of",
    "text_of",
]
