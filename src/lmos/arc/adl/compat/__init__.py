"""ADL as the original ARC reads and renders it, byte for byte, for documents written for it.

The language is the same; the rules are older: a line is text with a flat set of conditions, the
first `>` ends a tag wherever it stands, `else` looks at its whole section, one `</>` ends what the
last condition began. `read` gives use cases as the original's JSON has them, `render` what a model
sees, `report` what its editor asks for. New documents are read by `lmos.arc.adl.parse`.
"""

from lmos.arc.adl.compat.document import ArcLine, ArcUseCase
from lmos.arc.adl.compat.reader import ArcSyntaxError, read
from lmos.arc.adl.compat.render import Output, fallbacks, render
from lmos.arc.adl.compat.report import report
from lmos.arc.adl.compat.resolve import resolve
from lmos.arc.adl.compat.variables import fill

__all__ = [
    "ArcLine",
    "ArcSyntaxError",
    "ArcUseCase",
    "Output",
    "fallbacks",
    "fill",
    "read",
    "render",
    "report",
    "resolve",
]
