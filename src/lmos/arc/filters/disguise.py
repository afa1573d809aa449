"""Hiding private values in texts behind placeholders, and restoring them. All of it is pure.

What stands for what is a list of `AnonymizationEntity`, which goes back to the caller with the
answer and comes again with the next turn, so a value has the same placeholder in the whole
conversation. `lmos.arc.filters.anonymizer` is the pair of filters around it.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from lmos.arc.filters import values
from lmos.arc.filters.values import Found, Kind, Span
from lmos.model import AnonymizationEntity

#: Names the values of its kind that stand in a text, such as people's names.
Finder = Callable[[str], Iterable[str]]

_OWN = re.compile(r"\[[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_\d+\]")
_NAME = r"[A-Z][A-Z0-9]*(?:\\?_[A-Z0-9]+)+"
#: One of our own, as models write it.
_WRITTEN = re.compile(rf"\\\[{_NAME}\\\]|\[{_NAME}\]", re.IGNORECASE)


class Disguise:
    """Hides values behind placeholders, `[EMAIL_1]`, and restores them.

    `entities` is what is known already and is added to. A value always gets the placeholder that it
    has; what has one is hidden wherever it stands as a word, also where `kinds` would not find it.
    Restoring what was hidden gives the same text again, to the letter.
    """

    def __init__(
        self,
        entities: list[AnonymizationEntity] | None = None,
        kinds: Sequence[Kind] = tuple(values.KINDS.values()),
        *,
        tools_see_values: bool = True,
    ) -> None:
        self.entities = [] if entities is None else entities
        self.tools_see_values = tools_see_values
        self._kinds = kinds

    def hide(self, text: str) -> str:
        """The text with placeholders for its values. Placeholders in it stay as they are."""
        found = self._found(text)
        names, parts, at = _Names(self.entities, text, found), [], 0
        for value in found:
            parts += [text[at : value.start], names.of(value)]
            at = value.end
        return "".join([*parts, text[at:]])

    def restore(self, text: str) -> str:
        """The text with the values for the placeholders in it; others in it stay as they are. Small
        changes that models make to a placeholder (`[Email_1]`, `\\[EMAIL\\_1\\]`) do not matter.
        """
        parts, at = [], 0
        for (start, end), value in sorted(self._placeholders(text)):
            parts += [text[at:start], value]
            at = end
        return "".join([*parts, text[at:]])

    def hide_in(self, data: Any) -> Any:
        """JSON data with the texts in it hidden."""
        return _mapped(self.hide, data)

    def restore_in(self, data: Any) -> Any:
        """JSON data, such as the arguments of a tool, with the texts in it restored."""
        return _mapped(self.restore, data)

    def _found(self, text: str) -> list[Found]:
        """What is to be replaced, in order: what the kinds find, and values that are known."""
        standing = sorted(span for span, _ in self._placeholders(text))
        rest = values.blanked(text, standing)
        found = values.find(rest, self._kinds)
        rest = values.blanked(rest, [(f.start, f.end) for f in found])
        known = {entity.value for entity in self.entities} | {f.text for f in found}
        more = (Found("", start, end, text[start:end]) for start, end in words(known, rest))
        return sorted([*found, *more], key=lambda f: f.start)

    def _placeholders(self, text: str) -> Iterator[tuple[Span, str]]:
        """Where something stands for a value, and the value."""
        known = {_canonical(entity.replacement): entity.value for entity in self.entities}
        own = [m for m in _WRITTEN.finditer(text) if _canonical(m[0]) in known]
        yield from ((m.span(), known[_canonical(m[0])]) for m in own)
        rest = values.blanked(text, [m.span() for m in own])
        others = [name for name in known if not _OWN.fullmatch(name)]
        yield from ((span, known[text[slice(*span)]]) for span in words(others, rest))


class _Names:
    """Which placeholder a value of the text gets; new ones are added to the entities."""

    def __init__(
        self, entities: list[AnonymizationEntity], text: str, found: Sequence[Found]
    ) -> None:
        self._entities = entities
        # Another placeholder may come next to one, so what is replaced counts as a letter.
        self._text = "".join(_lettered(text, found))
        self._said = text.upper().replace("\\", "")
        self._taken = {_canonical(entity.replacement) for entity in entities}
        self._known: dict[str, list[str]] = defaultdict(list)
        for entity in entities:
            self._known[entity.value].append(entity.replacement)

    def of(self, found: Found) -> str:
        """The placeholder that the value has, or a new one."""
        before = self._text[max(0, found.start - 1) : found.start]
        after = self._text[found.end : found.end + 1]
        for replacement in self._known[found.text]:
            if _stands(replacement, before, after):
                return replacement
        return self._new(re.sub(r"\W", "_", found.kind or "value").upper(), found.text)

    def _new(self, type_: str, value: str) -> str:
        """A placeholder that neither stands for something nor stands in the text."""
        number = 1
        while (made := f"[{type_}_{number}]") in self._taken or made in self._said:
            number += 1
        self._taken.add(made)
        self._known[value].append(made)
        self._entities.append(AnonymizationEntity(type=type_, value=value, replacement=made))
        return made


def _lettered(text: str, found: Sequence[Found]) -> Iterator[str]:
    """The text with letters where something was found."""
    at = 0
    for value in found:
        yield text[at : value.start]
        yield "x" * (value.end - value.start)
        at = value.end
    yield text[at:]


def words(known: Iterable[str], text: str) -> Iterator[Span]:
    """Where the known values stand as words, none inside another; the longest count first."""
    for value in sorted(filter(str.strip, known), key=len, reverse=True):
        places = list(_places(value, text))
        yield from places
        text = values.blanked(text, places) if places else text


def _places(value: str, text: str) -> Iterator[Span]:
    at = text.find(value)
    while at >= 0:
        end = at + len(value)
        free = _apart(text[max(0, at - 1) : at], value[0]) and _apart(
            value[-1], text[end : end + 1]
        )
        if free:
            yield at, end
        at = text.find(value, end if free else at + 1)


def _apart(one: str, other: str) -> bool:
    """Whether there is an end of a word between the two characters (nothing is one)."""
    return not (_is_word(one) and _is_word(other))


def _is_word(sign: str) -> bool:
    return sign.isalnum() or sign == "_"


def _canonical(written: str) -> str:
    """The placeholder as it is in the list."""
    plain = written.replace("\\", "").upper()
    return plain if _OWN.fullmatch(plain) else written


def _stands(replacement: str, before: str, after: str) -> bool:
    """Whether the placeholder can be told from its neighbours."""
    return (
        bool(replacement.strip())
        and _apart(before, replacement[0])
        and _apart(replacement[-1], after)
    )


def _mapped(change: Callable[[str], str], data: Any) -> Any:
    if isinstance(data, str):
        return change(data)
    if isinstance(data, Mapping):
        return {change(key): _mapped(change, value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_mapped(change, item) for item in data]
    return data


def named(name: str, finder: Finder) -> Kind:
    """A kind whose values a function names, such as people's names."""

    def spans(text: str) -> Iterator[Span]:
        return iter(sorted(words(set(finder(text)), text)))

    return values.plain(name, spans, str)
