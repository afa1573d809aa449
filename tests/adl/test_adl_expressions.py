"""The language of ```expr fences: what it can say, and what nobody can do with it."""

import contextlib
import time
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmos.arc.adl import Facts, FenceFailed, parse, rendered
from lmos.arc.adl.expressions import ExpressionError, evaluate
from lmos.arc.adl.runners import run_expression

NOW = datetime(2026, 12, 1, 9, 30)
VALUES: dict[str, Any] = {
    "bill": {"amount": Decimal("42.50"), "due": "2026-12-24", "lines": [{"n": 1}, {"n": 2}]},
    "bills": [{"amount": 10, "open": True}, {"amount": 5, "open": False}],
    "name": "Ada",
    "day": date(2026, 12, 24),
}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("7 // 2, 7 % 2, 2 ** 10", [3, 1, 1024]),
        ("(7 // 2) - -1", 4),
        ("'a' + \"b\"", "ab"),
        ("1 < 2 <= 2 and not 3 == 4", True),
        ("None or 'x'", "x"),
        ("0 and 1/0", 0),
        ("'yes' if bill.amount > 40 else 'no'", "yes"),
        ("bill['amount'] * 2", Decimal("85.00")),
        ("bill.amount * 1.1", Decimal("46.750")),
        ("bill.lines[1].n", 2),
        ("bill.lines[-1]['n']", 2),
        ("'amount' in bill and name not in ['Bob']", True),
        ("len(bills) + max(1, 2) + min([3, 4]) + abs(-1)", 8),
        ("round(2.567, 2), round(2.5), fixed(1234.5), fixed(2, 0)", [2.57, 2, "1,234.50", "2"]),
        ("sum(b.amount for b in bills if b.open)", 10),
        ("join([upper(name), lower('X')], ' ')", "ADA x"),
        ("sorted([3, 1])", [1, 3]),
        ("format_date(bill.due)", "24.12.2026"),
        ("format_date(day, '%Y')", "2026"),
        ("day.year + day.month", 2038),
        ("day - today() > days(20)", True),
        ("now().hour", 9),
        ("total = 0\ntotal = total + 5\ntotal", 5),
        ("{'a': 1}.a", 1),
        ("# nothing", None),
        ("", None),
    ],
)  # fmt: skip
def test_what_it_can_say(code: str, expected: object) -> None:
    assert evaluate(code, VALUES, NOW) == expected


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1 +", "line 1: invalid syntax"),
        ("x = 1\ny", "line 2: y is not known"),
        ("1 / 0", "line 1: division by zero"),
        ("bill.nothing", "there is no 'nothing'"),
        ("bills[9]", "there is no 9"),
        ("name.upper()", "Call is not part of the language"),
        ("name.__class__", "there is no '__class__'"),
        ("day.replace", "there is no 'replace'"),
        ("open('x')", "there is no function open"),
        ("__import__('os')", "there is no function __import__"),
        ("(lambda: 1)()", "Call is not part of the language"),
        ("lambda: 1", "Lambda is not part of the language"),
        ("import os", "Import is not part of the language"),
        ("while True: pass", "While is not part of the language"),
        ("f'{name}'", "JoinedStr is not part of the language"),
        ("bill.amount = 1", "Assign is not part of the language"),
        ("'%99999999d' % 1", "texts are joined with +"),
        ("'a' * 9999999", "only numbers can be multiplied"),
        ("[0] * 9999999", "only numbers can be multiplied"),
        ("10 ** 99", "the number is too large"),
        ("9 ** 9 ** 9", "the power is too large"),
        ("1 << 99", "LShift is not part of the language"),
        ("~1", "UnaryOp is not part of the language"),
        ("1e308 * 10", "the number is too large"),
        ("9" * 100, "the number is too large"),
        ("b'x'", "Constant is not part of the language"),
        ("1 + 'a'", "unsupported operand"),
        ("name[0:1]", "Slice is not part of the language"),
        ("'a'\n" * 500, "too large"),
        ("(" * 300, "line 1"),
        ("-" * 1000 + "1", "too"),
        ("x" * 2001, "more than 2000"),
        ("a = [" + "1," * 60 + "]\nb = [" + "a," * 60 + "]", "more than 1000 items"),
        ("a = '" + "x" * 900 + "'\n" + "a = a + a\n" * 5, "longer than 10000"),
        ("sum(sum(sum(1 for a in x) for b in x) for c in x)", "takes too long"),
        ("[[1 for a in x] for b in x]", "more than 1000 items"),
    ],
)
def test_what_it_refuses(code: str, message: str) -> None:
    began = time.process_time()
    with pytest.raises(ExpressionError) as raised:
        evaluate(code, {**VALUES, "x": list(range(100))})
    assert message in str(raised.value)
    assert time.process_time() - began < 1


@given(st.text(alphabet="abx1().[]+-*/'\"= \n{}:,<>%if else for in", max_size=80))
def test_any_code_gives_a_value_or_an_error(code: str) -> None:
    with contextlib.suppress(ExpressionError):
        evaluate(code, {"a": [1, 2], "b": {"x": "y"}, "x": 3})


def document(fence: str) -> str:
    return f"### UseCase: a\n#### Description\nd\n#### Solution\nbefore\n{fence}\nafter\n"


def test_a_fence_becomes_what_its_code_gives() -> None:
    cases = parse(document("```expr\nfixed(bill.amount)\n```")).use_cases
    assert "before\n42.50\nafter" in rendered(cases, Facts(), VALUES)
    shout = {"shout": lambda code, values: f"{code}, {values['name']}!".upper()}
    cases = parse(document("```shout\nhello\n```")).use_cases
    assert "before\nHELLO, ADA!\nafter" in rendered(cases, Facts(), VALUES, shout)


def test_a_fence_of_an_unknown_language_stays_as_it_is() -> None:
    fence = "```python title\n  x = 1\n```"
    assert fence in rendered(parse(document(fence)).use_cases, Facts())


def test_a_fence_that_gives_nothing_leaves_nothing() -> None:
    cases = parse(document("```expr\n'' if 1 else 2\n```")).use_cases
    assert "before\nafter" in rendered(cases, Facts())


def test_a_fence_that_fails_is_an_error_that_says_where() -> None:
    cases = parse(document("```expr\nbill.amount\n```")).use_cases
    with pytest.raises(FenceFailed, match="line 6 of use case a failed: line 1: bill is not known"):
        rendered(cases, Facts())


def test_values_are_written_as_people_do() -> None:
    assert run_expression("bill.amount", VALUES) == "42.50"
    assert run_expression("day", VALUES) == "24 December 2026"
    assert run_expression("1 < 2", VALUES) == "yes"
