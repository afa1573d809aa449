"""Reading arguments out of what people say."""

import enum
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmos.arc import Words, reading
from lmos.arc.words import find

TODAY = date(2026, 11, 24)  # a Tuesday


class Size(enum.Enum):
    SMALL = "small"
    EXTRA_LARGE = "extra-large"


@pytest.mark.parametrize(
    ("type_", "text", "expected"),
    [
        (Decimal, "pay 1,234.50 EUR", Decimal("1234.50")),
        (Decimal, "pay 1.234,50 €", Decimal("1234.50")),
        (Decimal, "pay 1'234.50", Decimal("1234.50")),
        (Decimal, "12,5", Decimal("12.5")),
        (Decimal, "50EUR", Decimal(50)),
        (Decimal, "20€ please.", Decimal(20)),
        (float, "$12.5", 12.5),
        (int, "order 4711.", 4711),
        (int, "10,000 points", 10_000),
        (int, "1,000,000", 1_000_000),
        (int, "1.000", 1000),
        (int, "10GB more", 10),
        (int, "upgrade to 5G", None),
        (int, "2.5 of them", None),
        (int, "three times", 3),
        (int, "the other one", None),
        (int, "on 2026-12-01 I ordered 3", 3),
        (int, "on 1 December", None),
        (int, "nothing", None),
    ],
)
def test_numbers(type_: Any, text: str, expected: Any) -> None:
    assert reading.number(type_, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-12-01", date(2026, 12, 1)),
        ("am 1.12.2026", date(2026, 12, 1)),
        ("1 December", date(2026, 12, 1)),
        ("the 1st of Dec.", date(2026, 12, 1)),
        ("Dec 1st, 2027", date(2027, 12, 1)),
        ("March 3", date(2027, 3, 3)),
        ("29 February", None),
        ("31 February 2027", None),
        ("today", TODAY),
        ("the day after tomorrow", date(2026, 11, 26)),
        ("next Monday", date(2026, 11, 30)),
        ("on tuesday", date(2026, 12, 1)),
        ("in 3 days", date(2026, 11, 27)),
        ("in two weeks", date(2026, 12, 8)),
        ("in a week", date(2026, 12, 1)),
        ("maybe 12", None),
        ("soon", None),
    ],
)
def test_days(text: str, expected: date | None) -> None:
    assert reading.day(text, TODAY) == expected


@pytest.mark.parametrize(
    ("annotation", "text", "asked", "expected"),
    [
        (Size, "extra large, please", False, Size.EXTRA_LARGE),
        (Literal["small", "large"], "a LARGE one", False, "large"),
        (Annotated[Literal["a"], Words(a="first letter")] | None, "the first letter", False, "a"),
        (Literal["small"], "smaller", False, None),
        (bool, "yes", False, None),
        (bool, "yes", True, True),
        (bool, "no thanks", True, False),
        (bool, "perhaps", True, None),
        (int, "one", True, 1),
        (str, "Bonn", False, None),
        (str, "Bonn", True, "Bonn"),
        (list[int], "1, 2", True, None),
    ],
)
def test_types_say_what_to_look_for(annotation: Any, text: str, asked: bool, expected: Any) -> None:
    assert find(annotation, text, asked=asked) == expected


def test_a_pattern_is_found_wherever_it_stands() -> None:
    assert find(str, "my code is ab-12, ok?", pattern=r"^[A-Z]{2}-\d{2}$") == "ab-12"
    assert find(str, "my code is ab-123", pattern=r"^[A-Z]{2}-\d{2}$") is None


@given(st.text(max_size=60) | st.from_regex(r"[0-9.,' -]{1,20}(EUR)?", fullmatch=True))
def test_any_text_is_read_without_a_crash(text: str) -> None:
    for annotation in (int, float, Decimal, date, Size):
        find(annotation, text, asked=True)


@given(st.decimals(0, 10**9, places=2))
def test_amounts_are_read_as_they_are_written(amount: Decimal) -> None:
    assert reading.number(Decimal, f"pay {amount:,.2f} EUR now") == amount
