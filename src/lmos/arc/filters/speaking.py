"""Making an answer fit to be read aloud."""

import re
import unicodedata
from collections.abc import Sequence

from lmos.arc.context import Context

_STEPS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.MULTILINE), new)
    for pattern, new in (
        (r"^[ \t]*```.*\n?", ""),  # fences
        (r"^[ \t]*\|?[ \t]*:?-{3,}:?[ \t]*(?:\|[ \t]*:?-{3,}:?[ \t]*)*\|?[ \t]*\n?", ""),  # rules
        (r"!\[([^\[\]\n]*)\]\([^()\n]*\)", r"\1"),  # images
        (r"\[([^\[\]\n]+)\]\([^()\n]*\)", r"\1"),  # links
        (r"^[ \t]*#{1,6}[ \t]+", ""),
        (r"^[ \t]*>[ \t]?", ""),
        (r"^[ \t]*[-*+•][ \t]+", ""),
        (r"^[ \t]*\|[ \t]*|[ \t]*\|[ \t]*$", ""),
        (r"[ \t]+\|[ \t]+", ", "),
        (r"(?<!\\)(\*\*|__|~~)(?=\S)([^\n]*?[^\s\\])\1", r"\2"),
        (r"(?<![\w*\\])\*(?=\S)([^*\n]*?[^*\s\\])\*(?![\w*])", r"\1"),
        (r"(?<![\w\\])_(?=\S)([^_\n]*?[^_\s\\])_(?!\w)", r"\1"),
        (r"`([^`\n]*)`", r"\1"),
        (r"<(https?://[^>\s]+)>", r"\1"),
        (r"\\([\\`*_{}\[\]()#+.!|~>-])", r"\1"),
    )
)


class ForVoice:
    """Makes the answer fit to be read aloud on the channels: no Markdown, no emojis, and no more
    than `limit` characters, ended with a sentence and then `more`.

        agent = Agent(name="a", output_filters=[ForVoice(limit=300)])
    """

    window = "sentence"

    def __init__(
        self, *, channels: Sequence[str] = ("ivr", "voice"), limit: int = 600, more: str = ""
    ) -> None:
        self._channels = frozenset(channels)
        self._limit = limit
        self._more = more

    def __call__(self, ctx: Context, text: str) -> str | None:
        """The sentence as it is said, or nothing once enough was said."""
        if ctx.channel not in self._channels:
            return None
        key = ("said aloud", id(self))
        said: int = ctx.local.get(str(key), 0)
        spoken = plain(text)
        ctx.local[str(key)] = said + len(spoken)
        if said + len(spoken) <= self._limit:
            return spoken
        if said > self._limit:
            return ""
        ctx.local[str(key)] = self._limit + 1
        return (shortened(spoken, self._limit) if said == 0 else "") + self._more


def plain(text: str) -> str:
    """The text without Markdown and emojis."""
    for pattern, new in _STEPS:
        text = pattern.sub(new, text)
    return "".join(sign for sign in text if not _is_picture(sign))


def shortened(text: str, limit: int) -> str:
    """The text, cut behind a word when it is longer than the limit."""
    if len(text) <= limit:
        return text
    return text[:limit].rpartition(" ")[0].rstrip() or text[:limit]


def _is_picture(sign: str) -> bool:
    return (unicodedata.category(sign) == "So" and sign not in "°©®™") or sign in "\ufe0f\u200d"
