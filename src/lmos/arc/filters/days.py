"""Days in text, compared by value: 2026-12-01, 01.12.2026, 1. Dezember 2026, December 1st, 12/1/26.

A day is a year, a month and a day; the year or the day may be missing. A text that knows a day also
knows its month. One that knows no year allows any: who says 1 December means the next one.
"""

import re
from collections.abc import Hashable, Iterator
from datetime import date

_MONTHS = {
    number: names.split()
    for number, names in enumerate(
        (
            "january january jan januar jän jänner",
            "february feb februar",
            "march mar märz mrz",
            "april apr",
            "may mai",
            "june jun juni",
            "july jul juli",
            "august aug",
            "september sept sep",
            "october oct oktober okt",
            "november nov",
            "december dec dezember dez",
        ),
        start=1,
    )
}
_NUMBERS = {name: number for number, names in _MONTHS.items() for name in names}
#: `may` and `mar` are months only with a capital.
_MONTH = "|".join(
    f"(?-i:{name.title()})" if name in ("may", "mar", "dec", "sep", "jan") else name
    for name in sorted(_NUMBERS, key=len, reverse=True)
)
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th|\.)?"
_LED = r"\b(?:am|bis|vom|zum|ab|seit|on|by|until|from)"
_FORMS = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        r"(?<![\d.-])(?P<year>\d{4})(?P<sign>[-/])(?P<month>\d{1,2})(?P=sign)(?P<day>\d{1,2})(?!\d)",
        r"(?<![\d.])(?P<day>\d{1,2})\. ?(?P<month>\d{1,2})\. ?(?P<year>\d{4}|\d\d)(?!\w)",
        r"(?<![\d/])(?P<day>\d{1,2})/(?P<month>\d{1,2})/(?P<year>\d{4}|\d\d)(?!\w)",
        rf"(?<![\w.,]){_DAY}(?: of)? (?P<name>{_MONTH})\b\.?(?:,? (?P<year>\d{{4}})(?!\d))?",
        rf"\b(?P<name>{_MONTH})\b\.? {_DAY}(?!\w)(?:,? (?P<year>\d{{4}})(?!\d))?",
        rf"\b(?P<name>{_MONTH})\b\.?,? (?P<year>\d{{4}})(?!\d)",
        rf"{_LED} (?P<day>\d{{1,2}})\.(?P<month>\d{{1,2}})\.(?!\d)",
    )
)

Day = tuple[int | None, int, int | None]


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Where days stand in the text, in order."""
    return iter([match.span() for match, _ in _found(text)])


def keys(value: str) -> frozenset[Hashable]:
    """What must be known for the day to be."""
    return frozenset(key for _, read in _found(value) for day in read for key in _claimed(day))


def known(text: str) -> frozenset[Hashable]:
    """What days the text makes known."""
    return frozenset(key for _, read in _found(text) for day in read for key in of_day(*day))


def of_day(year: int | None, month: int, day: int | None) -> list[Hashable]:
    """The keys that a day makes known."""
    if day is None:
        return [(year, month, "any")]
    always: list[Hashable] = [(year, month, day), ("any", month, day)]
    return always if year is None else [*always, (year, month, "any")]


def _claimed(day: Day) -> list[Hashable]:
    year, month, number = day
    if number is None:
        return [(year, month, "any")]
    return [("any", month, number)] if year is None else [day, (None, month, number)]


def _found(text: str) -> list[tuple[re.Match[str], list[Day]]]:
    found: list[tuple[re.Match[str], list[Day]]] = []
    taken: set[int] = set()
    for form in _FORMS:
        for match in form.finditer(text):
            read = _read(match)
            if read and taken.isdisjoint(range(*match.span())):
                taken.update(range(*match.span()))
                found.append((match, read))
    return sorted(found, key=lambda pair: pair[0].start())


def _read(match: re.Match[str]) -> list[Day]:
    """What the match may mean; with slashes, the month may come first."""
    parts = match.groupdict()
    year = int(parts["year"]) if parts.get("year") else None
    if year is not None and year < 100:
        year += 2000
    day = int(parts["day"]) if parts.get("day") else None
    name = parts.get("name")
    month = _NUMBERS[name.lower()] if name else int(match["month"])
    options: list[Day] = [(year, month, day)]
    if "/" in match[0] and day is not None and len(match[0].split("/")[0]) < 3:
        options.append((year, day, month))
    return [option for option in options if _exists(*option)]


def _exists(year: int | None, month: int, day: int | None) -> bool:
    try:
        date(year or 2000, month, 1 if day is None else day)
    except ValueError:
        return False
    return True
