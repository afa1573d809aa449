"""Cutting a streamed answer into sentences, so that filters can read it before anybody else does.

A gap between two words ends a sentence or it does not; what decides is the word before, the gap
and the word after. So a piece is given out as soon as the word after it has begun. When in doubt a
gap is no end: two sentences in one piece harm nobody, half a date or half an account number does.
"""

import re

#: Characters of a piece after which it is cut at a gap although no sentence has ended.
LIMIT = 4000

#: White space, or the place behind a full stop of scripts that write without spaces.
_GAP = re.compile(r"\s+|(?<=[。！？])(?=[^。！？」』”）\s])")
_WORD = re.compile(r"\S+")
_OPENERS = "(\"'“„‘«[*_"
_CLOSERS = ")\"'”’“»]*_"
_MARKER = re.compile(r"(?:[-*+•–]|\d{1,3}[.)]|[a-zA-Z][.)]|#{1,6})$|[|>]|```")
_NUMBERED = re.compile(r"\(?\d{1,3}[.)]$")
#: 1. to 31., which in many languages is a day or a rank.
_ORDINAL = re.compile(r"(?:[1-9]|[12]\d|3[01])\.$")
#: J. and U.S. and z.B. and e.g.
_LETTERS = re.compile(r"(?:\w\.)+$")
#: Characters of a word that must be known to tell whether it is a mark of a list.
_MARK_LENGTH = 5
_WORDS = """
abs approx art aug bspw bzgl bzw ca cf co corp dept dez dec dr dsgl est evtl exkl feb fig ff fr geb
gem ggf gmbh hr hrsg inc incl inkl jan jr jul jun kap lt ltd max mind min mio mr mrs ms mrd nr no
nos nov okt oct p pp pos prof rd resp s sen sep sept sog spec sr st std str tel tsd u usf v vgl vol
vs zb zzgl zzt
"""
_ABBREVIATIONS = frozenset(_WORDS.split())


class SentenceWindow:
    """Takes an answer piece by piece and gives it back sentence by sentence.

        window = SentenceWindow()
        for delta in ("It is 3.", "50 EUR. Anything", " else?"):
            window.feed(delta)      # [], ["It is 3.50 EUR. "], []
        window.flush()              # ["Anything else?"]

    All that is given back, joined, is exactly what was fed. White space stays with the sentence
    before it. Decimals, abbreviations, addresses, ellipses, days and marks of lists end nothing;
    blank lines, lists and headings do. No more than `limit` characters are held back.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._held = ""
        self._from = 0  # where the next gap is looked for
        self._word = 0  # where the word before that gap begins
        self._line = True  # whether that word is the first of its line

    def feed(self, delta: str) -> list[str]:
        """The sentences that are whole now."""
        self._held += delta
        pieces, start = [], 0
        for gap in _GAP.finditer(self._held, self._from):
            after = _WORD.match(self._held, gap.end())
            if after is None or ("\n" in gap[0] and self._begun(after)):
                self._from = gap.start()
                break
            if self._ends(self._held[self._word : gap.start()], gap[0], after[0]):
                pieces.append(self._held[start : gap.end()])
                start = gap.end()
            self._line = "\n" in gap[0]
            self._word = gap.end()
        else:
            self._from = len(self._held)
        self._drop(start)
        return [part for piece in pieces for part in self._short(piece)] + self._overlong()

    def flush(self) -> list[str]:
        """What is left, when nothing more comes; the window is as new."""
        rest = self._short(self._held) if self._held else []
        SentenceWindow.__init__(self, self._limit)
        return rest

    def _begun(self, after: re.Match[str]) -> bool:
        """Whether the word is still coming and might be a mark of a list."""
        return after.end() == len(self._held) and len(after[0]) < _MARK_LENGTH

    def _ends(self, before: str, gap: str, after: str) -> bool:
        if gap.count("\n") > 1:
            return True
        if "\n" in gap and (before.endswith(":") or _MARKER.match(after)):
            return True
        return not (self._line and _NUMBERED.match(before)) and _is_end(before, after, gap)

    def _drop(self, count: int) -> None:
        self._held = self._held[count:]
        self._from -= count
        self._word -= count

    def _overlong(self) -> list[str]:
        """All but the last part of what is held, when that is too much."""
        if len(self._held) <= self._limit:
            return []
        *parts, rest = self._short(self._held)
        cut = len(self._held) - len(rest)
        self._word = max(self._word, cut)
        self._from = max(self._from, cut)
        self._drop(cut)
        return parts

    def _short(self, piece: str) -> list[str]:
        """The piece in parts within the limit, cut behind white space where there is some."""
        parts = []
        while len(piece) > self._limit:
            blank = max(piece.rfind(sign, 0, self._limit) for sign in " \n\t")
            cut = blank + 1 or self._limit
            parts.append(piece[:cut])
            piece = piece[cut:]
        return [*parts, piece]


def sentences(text: str) -> list[str]:
    """The text's sentences; joined, they are the text."""
    window = SentenceWindow()
    return [*window.feed(text), *window.flush()]


def _is_end(before: str, after: str, gap: str) -> bool:
    """Whether a sentence ends with the word `before`, when `after` comes next."""
    if not gap:
        return True
    bare = before.rstrip(_CLOSERS)
    if not bare.endswith((".", "!", "?", "。", "！", "？")) or bare.endswith(".."):
        return False
    if after.lstrip(_OPENERS)[:1].islower():
        return False
    if not bare.endswith("."):
        return True
    word = bare.lstrip(_OPENERS)
    known = word[:-1].rpartition("-")[2].lower() in _ABBREVIATIONS
    return not (known or _LETTERS.match(word) or _ORDINAL.match(word))
