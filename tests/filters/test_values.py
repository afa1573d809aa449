"""Values in text, found and compared whatever way they are written."""

import time
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmos.arc.filters import amounts, values
from lmos.arc.filters.hallucination import made_up
from lmos.model import errors

KINDS = tuple(values.KINDS.values())


@pytest.mark.parametrize(
    ("kind", "text", "found"),
    [
        (
            "url",
            "See https://a.example/b(c)?d=1. Or (www.x.de/y), shop.de!",
            "https://a.example/b(c)?d=1|www.x.de/y|shop.de",
        ),
        ("url", "e.g. this, z.B. that, main.py, 1.5.2", ""),
        ("email", "Bob.X+1@Mail.example. mailto:a@b.de", "Bob.X+1@Mail.example|a@b.de"),
        (
            "iban",
            "DE89 3704 0044 0532 0130 00 und de89370400440532013000.",
            "DE89 3704 0044 0532 0130 00|de89370400440532013000",
        ),
        (
            "iban",
            "AT61 1904 3002 3457 3201 bitte, GB82WEST12345698765432",
            "AT61 1904 3002 3457 3201|GB82WEST12345698765432",
        ),
        ("iban", "XX89 3704 0044 0532 0130 00, DE89 3704", ""),
        (
            "phone",
            "0228 181-0, +49 (0) 228 1810, 0800 330 1000",
            "0228 181-0|+49 (0) 228 1810|0800 330 1000",
        ),
        ("phone", "my 42 friends: 0171 1234567", "0171 1234567"),
        ("phone", "Call (555) 123-4567 or 1-800-555-1234", "(555) 123-4567|1-800-555-1234"),
        ("phone", "192.168.0.1 and 12345678 and 0.50", ""),
        (
            "amount",
            "42,50 €, EUR 42.50, 1.234,00 Euro, $1,234, 99 ct, 42,- €",
            "42,50 €|EUR 42.50|1.234,00 Euro|$1,234|99 ct|42,- €",
        ),
        ("amount", "10 GB, 3 months, 1.2.3 EUR, try 4", ""),
        (
            "date",
            "2026-12-01T10:00Z, 01.12.2026, 1.12.26, 12/1/2026, 1. Dezember 2026",
            "2026-12-01|01.12.2026|1.12.26|12/1/2026|1. Dezember 2026",
        ),
        (
            "date",
            "December 1st, 2026; 1st of May; May 2026; you may 5",
            "December 1st, 2026|1st of May|May 2026",
        ),
        ("date", "31.02.2026, 2026-13-01, version 1.2.", ""),
    ],
)
def test_values_are_found(kind: str, text: str, found: str) -> None:
    assert "|".join(f.text for f in values.find(text) if f.kind == kind) == found


@pytest.mark.parametrize(
    ("claim", "source"),
    [
        ("Pay 42,50 €.", '{"amount": 42.5, "currency": "EUR"}'),
        ("Pay EUR 1.234,00", "It is 1,234.00 euros."),
        ("It is 99 ct", '{"price": "0.99"}'),
        ("You get 42.50 EUR back", '{"balance": -42.50}'),
        ("due 1. Dezember 2026", '{"due": "2026-12-01"}'),
        ("due on 12/1/2026", "due 01.12.2026"),
        ("from December 2026", '{"from": "2026-12-15T00:00:00Z"}'),
        ("on 1 December", "2026-12-01"),
        ("Call 0228 1810", "+49 228 1810"),
        ("Call +49 228 1810", '{"phone": "02281810"}'),
        ("Call +49 228 1810", '{"phone": 492281810}'),
        ("Write to INFO@a.example", "info@A.example"),
        ("See http://www.a.example/b/", '{"link":"https://a.example/b"}'),
        ("IBAN DE89 3704 0044 0532 0130 00", "de89370400440532013000"),
    ],
)
def test_the_same_value_written_differently_is_known(claim: str, source: str) -> None:
    assert made_up(claim, [source]) == []


@pytest.mark.parametrize(
    ("claim", "source"),
    [
        ("Pay 42.50 EUR", "It is 142.50 EUR"),
        ("Pay 42.50 EUR", "It is 42.50 USD"),
        ("Pay 42.50 EUR", "It is 42.51 EUR"),
        ("Pay 12 EUR", "due 2026-12-01"),
        ("due 2 December 2026", "due 2026-12-01"),
        ("due 1 December 2027", "due 2026-12-01"),
        ("due 1 December 2026", "in December 2026"),
        ("Call 0228 1810", "Call 0228 18109"),
        ("Call +44 228 1810", "+49 228 1810"),
        ("See https://a.example/b", "https://a.example/bc"),
        ("See https://a.example/bc", "https://a.example/b"),
        ("See https://a.example@evil.example/b", "https://a.example/b"),
        ("See https://a.example/b?c=2", "https://a.example/b?c=1"),
        ("Write a@b.example", "aa@b.example"),
        ("DE89 3704 0044 0532 0130 00", "DE89 3704 0044 0532 0130 01"),
    ],
)
def test_part_of_a_value_or_another_one_is_not_the_value(claim: str, source: str) -> None:
    assert len(made_up(claim, [source])) == 1


@given(st.decimals(0, 10**9, places=2))
def test_an_amount_is_known_in_every_notation(value: Decimal) -> None:
    english, german = f"{value:,.2f}", f"{value:,.2f}".translate(str.maketrans(",.", ".,"))
    notations = [f"{english} EUR", f"{german} €", f"€{english}", f"EUR {value}"]
    for claim in notations:
        for source in [*notations, f'{{"a": {value}}}', f'"{german}"']:
            assert made_up(f"It is {claim}.", [source]) == [], (claim, source)
        assert made_up(claim, [f"It is {value + 1} EUR"])


@given(st.dates())
def test_a_day_is_known_in_every_notation(day: object) -> None:
    notations = [
        f"{day:%Y-%m-%d}",
        f"{day:%d.%m.%Y}",
        f"{day:%B} {day:%d}, {day:%Y}",
        f"{day:%d %b %Y}",
    ]
    if int(f"{day:%Y}") < 1000:
        return
    for claim in notations:
        for source in notations:
            assert made_up(f"Due {claim}.", [source]) == [], (claim, source)


@given(st.text(max_size=300))
def test_any_text_is_read_and_knows_its_own_values(text: str) -> None:
    found = values.find(text)
    assert [text[f.start : f.end] for f in found] == [f.text for f in found]
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert made_up(text, [text], KINDS) == []


@pytest.mark.parametrize(
    "unit", ["a.", "a@", "1.", "1 ", "0", "DE89", "1/", "https://", "€", "(0", "May ", "a-", "1,"]
)
def test_the_time_grows_with_the_text_only(unit: str) -> None:
    text, began = unit * (40_000 // len(unit)), time.perf_counter()
    values.find(text)
    for kind in KINDS:
        kind.known(text)
    assert time.perf_counter() - began < 8


def test_check_digits() -> None:
    assert values.iban_holds("DE89 3704 0044 0532 0130 00")
    assert not values.iban_holds("DE89 3704 0044 0532 0130 01")
    assert values.luhn_holds("4111 1111 1111 1111")
    assert not values.luhn_holds("4111 1111 1111 1112")


def test_numbers_may_mean_two_things() -> None:
    assert amounts.numbers("1.234") == {Decimal("1.234"), Decimal(1234)}
    assert amounts.numbers("1.234.567,8") == {Decimal("1234567.8")}
    assert amounts.numbers("1'234.50") == {Decimal("1234.50")}
    assert amounts.numbers("1.2.3") == frozenset()


def test_an_unknown_kind_is_told() -> None:
    with pytest.raises(errors.InvalidInput, match="'iBan' is no kind of value; email, url"):
        values.kinds(["iBan"])
