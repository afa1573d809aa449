"""Numbers and days as people write them: 1,234.50, 20€, three; 2026-12-01, 1 Dec, in two weeks."""

import calendar
import re
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

_NUMBER = re.compile(
    r"(?<![\w.,])-?(?:\d{1,3}(?:[.,']\d{3})+|\d+)(?:[.,]\d+)?"
    r"(?![.,]?\d)(?:(?=eur|usd|gbp|chf|gb\b|mb\b)|(?!\w))",
    re.IGNORECASE,
)
_COUNTED = [
    *("zero", "one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
]
_WORD = re.compile(rf"\b({'|'.join(_COUNTED)})\b", re.IGNORECASE)

_MONTHS = [name.lower() for name in calendar.month_name]
_DAYS = [name.lower() for name in calendar.day_name]
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th|\.)?"
_YEAR = r"(?:,? (?P<year>\d{4}))?"
_DATES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(?P<year>\d{4})-(?P<number>\d{2})-(?P<day>\d{2})\b",
        r"\b(?P<day>\d{1,2})\.(?P<number>\d{1,2})\.(?P<year>\d{4})\b",
        rf"\b{_DAY}(?: of)? {_MONTH}{_YEAR}(?!\w)",
        rf"\b{_MONTH} {_DAY}{_YEAR}(?!\w)",
    )
)
_WEEKDAY = re.compile(rf"\b(?:{'|'.join(_DAYS)})\b", re.IGNORECASE)
_AHEAD = re.compile(
    rf"\bin (?P<count>\d{{1,3}}|an?|{'|'.join(_COUNTED)}) (?P<unit>day|week)s?\b", re.IGNORECASE
)
_NAMED = {
    "day after tomorrow": 2,
    "tomorrow": 1,
    "today": 0,
    "day before yesterday": -2,
    "yesterday": -1,
}


def number(
    type_: type[int] | type[float] | type[Decimal], text: str, *, asked: bool = False
) -> Any:
    """The first number of the type in the text, None where there is none. Days are no numbers, and
    `one` is one only where it was `asked` for.
    """
    for pattern in _DATES:
        text = pattern.sub(" ", text)
    for match in _NUMBER.finditer(text):
        value = Decimal(_digits(match[0], whole=type_ is int))
        if type_ is not int or value == value.to_integral_value():
            return type_(value)
    word = _WORD.search(text)
    if word and (asked or word[0].lower() != "one"):
        return type_(_COUNTED.index(word[0].lower()))
    return None


def day(text: str, today: date | None = None) -> date | None:
    """The day that the text names, None where it names none. One without a year is the next."""
    today = today or date.today()
    for pattern in _DATES:
        if found := pattern.search(text):
            return _written(found, today)
    if ahead := _AHEAD.search(text):
        days = 7 if ahead["unit"].lower() == "week" else 1
        return today + timedelta(days=days * _count(ahead["count"].lower()))
    for name, days in _NAMED.items():
        if re.search(rf"\b{name}\b", text, re.IGNORECASE):
            return today + timedelta(days=days)
    if weekday := _WEEKDAY.search(text):
        days = (_DAYS.index(weekday[0].lower()) - today.weekday() - 1) % 7 + 1
        return today + timedelta(days=days)
    return None


def _count(said: str) -> int:
    if said.isdigit():
        return int(said)
    return 1 if said in ("a", "an") else _COUNTED.index(said)


def _digits(written: str, *, whole: bool) -> str:
    """The number with a point for its fraction and nothing else between its digits. Three digits
    after the only point or comma are thousands after a comma, and in a whole number.
    """
    last = max(written.rfind("."), written.rfind(","))
    if last < 0:
        return written.replace("'", "")
    separator, fraction = written[last], written[last + 1 :]
    others = any(mark in written[:last] for mark in ".,'" if mark != separator)
    repeated = written.count(separator) > 1
    thousands = len(fraction) == 3 and not others and (separator == "," or whole)
    front = re.sub(r"[.,']", "", written[:last])
    return front + fraction if repeated or thousands else f"{front}.{fraction}"


def _written(found: re.Match[str], today: date) -> date | None:
    """The day that is written out; None when the calendar has no such day."""
    parts = found.groupdict()
    numbered, year = parts.get("number"), parts["year"]
    month = int(numbered) if numbered else _month(parts["month"])
    for candidate in (int(year),) if year else (today.year, today.year + 1):
        try:
            written = date(candidate, month, int(parts["day"]))
        except ValueError:
            continue
        if year or written >= today:
            return written
    return None


def _month(name: str) -> int:
    return next(i for i, month in enumerate(_MONTHS) if i and month.startswith(name[:3].lower()))
