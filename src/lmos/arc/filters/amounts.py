"""Amounts of money in text, compared by value: 42,50 €, EUR 42.50, 1.234,00 Euro, 99 ct."""

import re
from collections.abc import Hashable, Iterator
from decimal import Decimal

_NAMES = {
    "EUR": "€ eur euro euros",
    "USD": "$ us$ usd dollar dollars",
    "GBP": "£ gbp pound pounds",
    "CHF": "chf sfr franken francs",
    "JPY": "¥ jpy yen",
    "PLN": "pln zł zloty",
    "CZK": "czk kč",
    "HUF": "huf forint",
    "SEK": "sek",
    "NOK": "nok",
    "DKK": "dkk",
    "HRK": "hrk kuna",
    "RON": "ron lei",
    "TRY": "try ₺ lira",
    "INR": "inr ₹ rupees",
    "cent": "cent cents ct ¢ pence",
}
_CODES = {name: code for code, names in _NAMES.items() for name in names.split()}
#: The lower-case word `try` is no money.
_CURRENCY = "|".join(
    re.escape(name) if name != "try" else "(?-i:TRY)"
    for name in sorted(_CODES, key=len, reverse=True)
)
_DIGITS = r"\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?:[.,]\d+)?|\d+(?:[.,'’]\d+)*"
_NUMBER = re.compile(rf"(?<![\w.,\x00])(?:{_DIGITS})(?!\d)")
_AMOUNT = re.compile(
    rf"(?<!\w)(?P<before>{_CURRENCY})[ \u00a0\u202f]?[-−]?(?P<n1>{_DIGITS})(?!\d|[.,]\d)"
    rf"|(?<![\w.,])(?P<n2>{_DIGITS})(?:,[-–—])?[ \u00a0\u202f]?(?P<after>{_CURRENCY})(?!\w)",
    re.IGNORECASE,
)


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Where amounts stand: numbers with a currency."""
    return (match.span() for match in _AMOUNT.finditer(text) if _readings(match))


def keys(value: str) -> frozenset[Hashable]:
    """What must be known for the amount to be: it, or its bare number."""
    match = _AMOUNT.fullmatch(value)
    if match is None:
        return frozenset()
    readings = _readings(match)
    return frozenset(key for number, code in readings for key in ((number, code), (number, "")))


def known(text: str) -> frozenset[Hashable]:
    """The amounts and the bare numbers of a text, such as a tool's JSON."""
    found: set[Hashable] = set()
    for match in _AMOUNT.finditer(text):
        found |= set(_readings(match))
    for match in _NUMBER.finditer(_AMOUNT.sub("\x00", text)):
        found |= {(number, "") for number in numbers(match[0])}
    return frozenset(found)


def numbers(text: str) -> frozenset[Decimal]:
    """What a number may mean: 1.234 is one thousand and something, or one and something."""
    plain = re.sub(r"[ \u00a0\u202f'’]", "", text)
    last = max(plain.rfind("."), plain.rfind(","))
    if last < 0:
        return frozenset((Decimal(plain),))
    mark = plain[last]
    whole, _, part = plain.rpartition(mark)
    groups = re.split("[.,]", whole)
    if mark in whole:  # more than once: it divides thousands
        good = len(set(re.sub(r"\d", "", plain))) == 1 and _thousands([*groups, part])
        return frozenset((Decimal("".join([*groups, part])),)) if good else frozenset()
    if len(groups) > 1 and not _thousands(groups):
        return frozenset()
    readings = {Decimal("".join(groups) + "." + part)}
    if len(groups) == 1 and _thousands([whole, part]):
        readings.add(Decimal(whole + part))
    return frozenset(readings)


def _thousands(groups: list[str]) -> bool:
    first, *others = groups
    return len(first) <= 3 and first != "0" and all(len(group) == 3 for group in others)


def _readings(match: re.Match[str]) -> list[tuple[Decimal, str]]:
    code = _CODES[(match["before"] or match["after"]).lower()]
    values = numbers(match["n1"] or match["n2"])
    if code == "cent":
        return [(value / 100, money) for value in values for money in ("EUR", "USD", "GBP")]
    return [(value, code) for value in values]
