"""Finding values in text, whatever way they are written: addresses, numbers of accounts and cards,
telephone numbers, amounts, days.

A `Kind` finds its values and says when two of them are the same: each value that is claimed has
keys, each text makes keys known, and a claim holds when one of its keys is known. So 42,50 € is
42.5 of a tool's JSON, and 0228 1810 is +49 228 1810, while no part of a value counts as the value.
Everything here is pure and takes time in proportion to the text.
"""

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from lmos.arc.filters import amounts, days
from lmos.model import errors

Span = tuple[int, int]
Keys = frozenset[Hashable]


@dataclass(frozen=True, slots=True)
class Found:
    """A value in a text: its kind, where it stands and how it is written there."""

    kind: str
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value. `spans` finds it, `keys` are those of one value, `known` those of a text."""

    name: str
    spans: Callable[[str], Iterator[Span]]
    keys: Callable[[str], Keys]
    known: Callable[[str], Keys]


def find(text: str, kinds: "Iterable[Kind] | None" = None) -> list[Found]:
    """The values in the text, in order, none inside another. A kind that comes first in `kinds`
    (default: all) takes what two kinds would have.
    """
    taken: list[Found] = []
    rest = text
    for kind in KINDS.values() if kinds is None else kinds:
        spans = list(kind.spans(rest))
        taken += (Found(kind.name, start, end, text[start:end]) for start, end in spans)
        rest = blanked(rest, spans)
    return sorted(taken, key=lambda found: found.start)


def blanked(text: str, spans: Sequence[Span]) -> str:
    """The text with signs that are part of nothing where the spans are; as long as before."""
    parts, at = [], 0
    for start, end in spans:
        parts += [text[at:start], "\x00" * (end - start)]
        at = end
    return "".join([*parts, text[at:]])


def kinds(names: Iterable[str]) -> list[Kind]:
    """The kinds of those names. `InvalidInput` tells which there are."""
    chosen = list(names)
    if unknown := [name for name in chosen if name not in KINDS]:
        raise errors.InvalidInput(f"{unknown[0]!r} is no kind of value; {', '.join(KINDS)} are")
    return [kind for name, kind in KINDS.items() if name in chosen]


def only(kind: Kind, holds: Callable[[str], bool]) -> Kind:
    """The kind, with only those values that hold."""

    def spans(text: str) -> Iterator[Span]:
        return ((start, end) for start, end in kind.spans(text) if holds(text[start:end]))

    return Kind(kind.name, spans, kind.keys, kind.known)


def pattern(name: str, expression: "str | re.Pattern[str]") -> Kind:
    """A kind of one's own, such as customer numbers. Case, white space and hyphens of its values do
    not count.
    """
    compiled = re.compile(expression)

    def spans(text: str) -> Iterator[Span]:
        return (match.span() for match in compiled.finditer(text) if match[0])

    return plain(name, spans, lambda value: re.sub(r"[\s-]", "", value).upper())


def plain(
    name: str, spans: Callable[[str], Iterator[Span]], key: Callable[[str], Hashable]
) -> Kind:
    """A kind whose values are the same when their one key is."""

    def known(text: str) -> Keys:
        return frozenset(key(text[start:end]) for start, end in spans(text))

    return Kind(name, spans, lambda value: frozenset((key(value),)), known)


# --- addresses -----------------------------------------------------------------------------------

_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]+@(?:[\w-]+\.)+[^\W\d_]{2,}")
_ENDINGS = (
    "com|org|net|info|biz|io|eu|de|at|ch|fr|it|es|pt|nl|be|lu|pl|cz|sk|hu|ro|hr|gr|dk|se|no|fi|uk"
    "|ie|us|ca|au|app|dev|shop|cloud|online|example"
)
_URL = re.compile(
    r"(?:https?://|\bwww\.)[^\s<>\"'`\\{}|^\x00]+"
    rf"|(?<![\w@./-])(?:[a-z0-9-]+\.)+(?:{_ENDINGS})(?![\w@-])(?:/[^\s<>\"'`\\{{}}|^\x00]*)?",
    re.IGNORECASE,
)


def _emails(text: str) -> Iterator[Span]:
    return (match.span() for match in _EMAIL.finditer(text))


def _urls(text: str) -> Iterator[Span]:
    for match in _URL.finditer(text):
        yield match.start(), match.start() + len(_trimmed(match[0]))


def _trimmed(url: str) -> str:
    """The address without the signs of the sentence around it."""
    while True:
        short = url.rstrip(".,;:!?*_~")
        for opening, closing in ("()", "[]"):
            if short.endswith(closing) and short.count(opening) < short.count(closing):
                short = short[:-1]
        if short == url:
            return url
        url = short


def _url_key(url: str) -> Hashable:
    """What the address leads to; scheme, www and a last slash do not matter."""
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
    except ValueError:  # a host in brackets that is none
        return url
    host = parts.netloc.lower().removeprefix("www.")
    return host, parts.path.rstrip("/"), parts.query, parts.fragment


# --- accounts and cards --------------------------------------------------------------------------

_COUNTRIES = """
AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28
EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26
IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28
NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25
SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30
"""
#: Characters of an IBAN by country, after the register of ISO 13616.
IBAN_LENGTHS = {entry[:2]: int(entry[2:]) for entry in _COUNTRIES.split()}

_BY_LENGTH = {
    length: "|".join(country for country, n in IBAN_LENGTHS.items() if n == length)
    for length in sorted(set(IBAN_LENGTHS.values()))
}
_IBAN = re.compile(
    r"(?<![^\W_])(?:"
    + "|".join(
        rf"(?:{countries})\d\d(?:[ \u00a0-]?[A-Z0-9]){{{length - 4}}}"
        for length, countries in _BY_LENGTH.items()
    )
    + r")(?![^\W_])",
    re.IGNORECASE,
)
_GROUPS = re.compile(r"(?<![\w-])\d+(?:[ \u00a0-]\d+)*(?!\w)")


def _ibans(text: str) -> Iterator[Span]:
    return (match.span() for match in _IBAN.finditer(text))


def compact(value: str) -> str:
    """The value without white space and hyphens, in capitals."""
    return re.sub(r"[\s-]", "", value).upper()


def iban_holds(value: str) -> bool:
    """Whether an IBAN's check digits are right (ISO 7064, mod 97)."""
    moved = compact(value)[4:] + compact(value)[:4]
    return int("".join(str(int(sign, 36)) for sign in moved)) % 97 == 1


def luhn_holds(value: str) -> bool:
    """Whether the last digit of a card's number is right."""
    digits = [int(digit) for digit in compact(value)][::-1]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _cards(text: str, holds: Callable[[str], bool] = bool) -> Iterator[Span]:
    """Groups of 13 to 19 digits together, the longest that hold."""
    for run in _GROUPS.finditer(text):
        groups = [match.span() for match in re.finditer(r"\d+", run[0])]
        first = 0
        while first < len(groups):
            last = _last_group(run[0], groups, first, holds)
            if last is not None:
                yield run.start() + groups[first][0], run.start() + groups[last][1]
            first = first + 1 if last is None else last + 1


def _last_group(
    text: str, groups: Sequence[Span], first: int, holds: Callable[[str], bool]
) -> int | None:
    count, found = 0, None
    for number in range(first, len(groups)):
        start, end = groups[number]
        count += end - start
        if count > 19:
            break
        if count >= 13 and holds(text[groups[first][0] : end]):
            found = number
    return found


# --- telephone numbers ---------------------------------------------------------------------------

_SIGNS = r"\d ()./\u00a0\u2013-"
_PHONE = re.compile(rf"(?<![\w.,+/-])(?:\+|\()?\d[{_SIGNS}]{{4,20}}\d(?!\w)")
_BLANK = re.compile(r"\s+")
_AMERICAN = re.compile(r"(?:1[ .-])?\(?\d{3}\)?[ .-]{1,2}\d{3}[ .-]\d{4}")


def _phones(text: str) -> Iterator[Span]:
    at = 0
    while match := _PHONE.search(text, at):
        dialled = match[0].startswith(("+", "0", "(0")) or _AMERICAN.fullmatch(match[0])
        if dialled and 7 <= len(re.sub(r"\D", "", match[0])) <= 15:
            yield match.span()
            at = match.end()
        else:  # it may begin with another number, or be too long for one
            gap = _BLANK.search(text, match.start(), match.end())
            at = gap.end() if gap else match.end()


def _dialled(value: str) -> tuple[str, bool]:
    """The digits without what stands for another country or another town, and whether the number
    names its country.
    """
    plus = value.strip().startswith("+")
    digits = re.sub(r"\D", "", value.replace("(0)", "") if plus else value)
    abroad = plus or digits.startswith("00")
    return (digits.lstrip("0") if abroad else digits.removeprefix("0")), abroad


def _phone_keys(value: str) -> Keys:
    digits, abroad = _dialled(value)
    if abroad:  # the same, or the number within its country, said by one who is there
        return frozenset({("+", digits), *(("0", digits[n:]) for n in (1, 2, 3))})
    return frozenset({("0", digits), ("within", digits), ("+", digits)})


def _phones_known(text: str) -> Keys:
    keys: set[Hashable] = set()
    for match in _PHONE.finditer(text):
        digits, abroad = _dialled(match[0])
        keys.add(("+" if abroad else "0", digits))
        if abroad:
            keys |= {("within", digits[n:]) for n in (1, 2, 3)}
        elif not match[0].startswith("0"):
            keys.add(("+", digits))  # as systems store it, without the plus
    return frozenset(keys)


# --- all of them ---------------------------------------------------------------------------------

EMAIL = plain("email", _emails, str.lower)
URL = plain("url", _urls, _url_key)
IBAN = plain("iban", _ibans, compact)
CARD = plain("card", _cards, compact)
#: IBANs and cards whose check digits are right.
VALID_IBAN = only(IBAN, iban_holds)
VALID_CARD = plain("card", partial(_cards, holds=luhn_holds), compact)
DATE = Kind("date", days.spans, days.keys, days.known)


def _amounts_known(text: str) -> Keys:
    """The amounts, and the plain numbers that are no part of something else."""
    others = find(text, (EMAIL, URL, IBAN, CARD, DATE, PHONE))
    return amounts.known(blanked(text, [(found.start, found.end) for found in others]))


PHONE = Kind("phone", _phones, _phone_keys, _phones_known)
AMOUNT = Kind("amount", amounts.spans, amounts.keys, _amounts_known)

#: Every kind by name, in the order in which they are looked for.
KINDS: dict[str, Kind] = {kind.name: kind for kind in (EMAIL, URL, IBAN, CARD, DATE, AMOUNT, PHONE)}
