"""Reading conditions: `web`, `!guest`, `web or app`, `(a or b) and not c`, `step_2`, `regex:...`.

    all        any {"," any}            each must hold
    any        both {"or" both}
    both       one {"and" one}
    one        ("!" | "not") one | "(" any ")" | "else" | step_N | name

A name is one word or several. A regular expression is a condition by itself, commas and all.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from lmos.arc.adl.ast import Condition, ConditionKind

#: Conditions inside conditions.
MAX_DEPTH = 20
#: Characters of a regular expression.
MAX_PATTERN = 500

_TOKEN = re.compile(r"\s*([(),!]|[^\s(),!]+)")
_STEP = re.compile(r"step_(\d{1,6})")

_REPEATED_REPEAT = re.compile(r"\((?:\\.|[^()\\])*[+*](?:\\.|[^()\\])*\)[+*{]")

#: Told of a mistake: the column, what it is, how to mend it, its code.
Say = Callable[[int, str, str, str], None]


def read_conditions(text: str, number: int, column: int, say: Say) -> tuple[Condition, ...]:
    """The conditions of one `<group>`, whose text begins at the column. Those with a mistake, which
    is told, are left out.
    """
    if text[:6].lower() == "regex:":
        return _regex(text, number, column, say)
    if _is_name(text):  # most are
        return (_word(text, number, column),)
    return tuple(_Reader(text, number, column, say).all())


def _regex(text: str, number: int, column: int, say: Say) -> tuple[Condition, ...]:
    pattern = text[6:]
    if not pattern.strip():
        fix = "write <regex:what the user says>"
        say(column, "the regular expression is empty", fix, "condition")
        return ()
    if len(pattern) > MAX_PATTERN:
        fix = f"keep it below {MAX_PATTERN} characters"
        say(column, "the regular expression is too long", fix, "condition")
        return ()
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        fix = "mend it; \\ before a character takes it as it is"
        say(column + 6, f"the regular expression is wrong: {error}", fix, "condition")
        return ()
    if _REPEATED_REPEAT.search(pattern):
        fix = "write it without a repetition inside a repetition, such as (a+)+"
        say(column + 6, "the regular expression may take very long", fix, "slow-expression")
    return (Condition(text, "regex", pattern, number=number, column=column),)


def _is_name(text: str) -> bool:
    return text.isidentifier() and text not in ("not", "and", "or")


def _word(text: str, number: int, column: int) -> Condition:
    if text == "else":
        return Condition(text, "else", number=number, column=column)
    if step := _STEP.fullmatch(text):
        return Condition(text, "step", step=int(step[1]), number=number, column=column)
    return Condition(text, "name", text, number=number, column=column)


def _has_else(condition: Condition) -> bool:
    """Whether there is an `else` inside the condition."""
    return any(part.kind == "else" or _has_else(part) for part in condition.parts)


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    start: int
    end: int


class _Unreadable(Exception):
    """A mistake at an index of the text."""

    def __init__(self, index: int, message: str, fix: str) -> None:
        super().__init__(message)
        self.index = index
        self.message = message
        self.fix = fix


class _Reader:
    """Reads one group by descent."""

    def __init__(self, text: str, number: int, column: int, say: Say) -> None:
        self._text = text
        self._number = number
        self._column = column
        self._say = say
        self._tokens = [_Token(m[1], m.start(1), m.end(1)) for m in _TOKEN.finditer(text)]
        self._at = 0

    def all(self) -> list[Condition]:
        """The conditions that must each hold."""
        found: list[Condition] = []
        try:
            found.append(self._any(0))
            while self._take(","):
                found.append(self._any(0))
            if self._next:
                fix = "remove it, or open a ( before"
                raise _Unreadable(self._here, f"{self._next!r} is not expected here", fix)
        except _Unreadable as mistake:
            self._say(self._column + mistake.index, mistake.message, mistake.fix, "condition")
        for condition in found:
            if _has_else(condition):
                fix = "write <else>, or <else, web> for both"
                self._say(condition.column, "else stands by itself", fix, "condition")
        return found

    def _any(self, depth: int) -> Condition:
        return self._joined("or", lambda: self._joined("and", lambda: self._one(depth)))

    def _joined(self, word: ConditionKind, read: Callable[[], Condition]) -> Condition:
        """One that is read, or several with the word between them."""
        start = self._here
        parts = [read()]
        while self._take(word):
            parts.append(read())
        return parts[0] if len(parts) == 1 else self._made(word, start, tuple(parts))

    def _one(self, depth: int) -> Condition:
        start = self._here
        if depth > MAX_DEPTH:
            raise _Unreadable(start, "the condition is too deep", f"nest {MAX_DEPTH} at most")
        if self._take("!") or self._take("not"):
            return self._made("not", start, (self._one(depth + 1),))
        if self._take("("):
            inner = self._any(depth + 1)
            if not self._take(")"):
                raise _Unreadable(start, "a ( is never closed", "end it with )")
            return inner
        words = []
        while self._next and self._next not in ("(", ")", ",", "!", "or", "and", "not"):
            words.append(self._tokens[self._at])
            self._at += 1
        if not words:
            raise _Unreadable(start, "a condition is missing", "write a name, as in <web or app>")
        text = " ".join(word.text for word in words)
        return _word(text, self._number, self._column + words[0].start)

    def _made(self, kind: ConditionKind, start: int, parts: tuple[Condition, ...]) -> Condition:
        text = self._text[start : self._tokens[self._at - 1].end]
        return Condition(text, kind, parts=parts, number=self._number, column=self._column + start)

    @property
    def _next(self) -> str:
        return self._tokens[self._at].text if self._at < len(self._tokens) else ""

    @property
    def _here(self) -> int:
        return self._tokens[self._at].start if self._at < len(self._tokens) else len(self._text)

    def _take(self, text: str) -> bool:
        if self._next != text:
            return False
        self._at += 1
        return True
