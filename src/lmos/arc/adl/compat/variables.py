"""`{{variables}}` as the original's formatter fills them.

Values are escaped for HTML, those of `{{{x}}}` and `{{&x}}` are not. What is not given leaves
nothing.
"""

import re
from collections.abc import Mapping

_VARIABLE = re.compile(r"\{\{(\{|&)?\s*([\w.-]+)\s*\}?\}\}")
_ESCAPES = str.maketrans(
    {
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        '"': "&quot;",
        "'": "&#39;",
        "`": "&#96;",
        "=": "&#61;",
        "\n": "&#10;",
    }
)


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with its variables filled."""

    def value(found: re.Match[str]) -> str:
        given = values.get(found[2], "")
        return given if found[1] else given.translate(_ESCAPES)

    return _VARIABLE.sub(value, text)
