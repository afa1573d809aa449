"""Reading a tool's arguments out of what the user says, without a language model.

The parameter's type says what to look for: one of the values of a `Literal` or an `Enum` (and other
`Words` for them), numbers, amounts, days, text of a `pattern`.
"""

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, get_args, get_origin

from lmos.arc import reading

YES = re.compile(
    r"\b(yes|yeah|yep|yup|sure|ok|okay|please do|do it|go ahead|correct|confirm(ed)?|right"
    r"|absolutely|definitely|of course)\b",
    re.IGNORECASE,
)
NO = re.compile(
    r"\b(no|nope|nah|not|don'?t|never ?mind|cancel that|stop|rather not|forget it)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Words:
    """Other words for a parameter's values: `Words(previous=("last month", "month before"))`, or
    `Words({"direct debit": ("iban",)})` where a value is no identifier.
    """

    synonyms: Mapping[str, tuple[str, ...]]

    def __init__(
        self, given: Mapping[str, str | Iterable[str]] | None = None, **named: str | Iterable[str]
    ) -> None:
        both = {**(given or {}), **named}
        found = {k: (v,) if isinstance(v, str) else tuple(v) for k, v in both.items()}
        object.__setattr__(self, "synonyms", found)

    def __hash__(self) -> int:
        return hash(tuple(self.synonyms.items()))  # `Annotated[..., Words()] | None` needs it


def find(annotation: Any, text: str, *, asked: bool = False, pattern: str | None = None) -> Any:
    """The value that the text gives for a parameter of the type, or None. Where the user was
    `asked` for it, any text will do for plain text, and yes or no for a truth value.
    """
    annotation, words = _unwrapped(annotation)
    if pattern:
        match = re.search(rf"(?<!\w)(?:{pattern.strip('^$')})(?!\w)", text, re.IGNORECASE)
        return match[0] if match else None
    if (choices := _choices(annotation)) is not None:
        return _chosen(choices, words, text)
    if annotation is bool:
        return (
            (NO.search(text) is None) if asked and (YES.search(text) or NO.search(text)) else None
        )
    if annotation in (int, float, Decimal):
        return reading.number(annotation, text, asked=asked)
    if annotation is date:
        return reading.day(text)
    if annotation is str:
        if words and (found := _chosen({k: k for k in words.synonyms}, words, text)):
            return found
        return text.strip() if asked and text.strip() else None
    return None


def strange(annotation: Any) -> str:
    """What is wrong with the type's `Words`: one for a value that is none of its choices."""
    annotation, words = _unwrapped(annotation)
    choices = _choices(annotation)
    if words is None or choices is None:
        return ""
    unknown = [name for name in words.synonyms if name not in choices]
    return f"Words for {unknown[0]!r}; the values are {', '.join(choices)}" if unknown else ""


def _unwrapped(annotation: Any) -> tuple[Any, Words | None]:
    """The bare type, out of `Annotated` and `X | None`, with its `Words` if it has some."""
    words = None
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *extras = get_args(annotation)
            words = next((extra for extra in extras if isinstance(extra, Words)), words)
            continue
        options = [a for a in get_args(annotation) if a is not type(None)]
        if type(None) in get_args(annotation) and len(options) == 1:
            annotation = options[0]
            continue
        return annotation, words


def _choices(annotation: Any) -> dict[str, Any] | None:
    if get_origin(annotation) is Literal:
        return {str(value): value for value in get_args(annotation)}
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return {str(member.value): member for member in annotation}
    return None


def _chosen(choices: Mapping[str, Any], words: Words | None, text: str) -> Any:
    """The choice whose longest word stands in the text."""
    said = re.sub(r"\s+", " ", text.lower())
    best: tuple[int, Any] = (0, None)
    for name, value in choices.items():
        synonyms = words.synonyms.get(name, ()) if words else ()
        for word in (name, name.replace("_", " ").replace("-", " "), *synonyms):
            pattern = rf"(?<!\w){re.escape(word.lower())}(?!\w)"
            if len(word) > best[0] and re.search(pattern, said):
                best = (len(word), value)
    return best[1]
