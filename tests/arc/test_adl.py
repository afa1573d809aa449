"""ADL: what is read, what counts in a turn, and what is said of mistakes."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmos.arc.adl import (
    Facts,
    check_replies,
    check_tools,
    lines_that_hold,
    mustache,
    parse,
    rendered,
)

EXAMPLE = """# Bills
<Version: 2.1>
### UseCase: find_invoice (3) <!guest>
<!-- a comment
over two lines with # no heading -->
#### Description
The customer looks for an invoice.
#### Steps
- <mobile>Ask for the phone number.
#### Solution
// internal note
Call @get_invoice() and share the link (@get_link()!).
<business>
Mention the business portal #shared/portal_help.
<web>Use a link.
</>
<else>Mention the private portal.
```python
# no heading, @no_tool()
```
#### Examples
- find my invoice
* where is the bill
- find my invoice
----
ignored
### UseCase: other
#### Description
Another.
#### Solution
"Fixed reply."
"""


def solution(body: str, *names: str, **facts: object) -> list[str]:
    (case,) = parse(f"### UseCase: a\n#### Description\nd\n#### Solution\n{body}\n").use_cases
    found = lines_that_hold(case.section("solution"), Facts(frozenset(names), **facts))  # type: ignore[arg-type]
    return [line.text for line in found if line.text]


def test_a_document_is_read_with_its_positions() -> None:
    document = parse(EXAMPLE)
    assert document.diagnostics == ()
    first, second = document.use_cases
    assert (first.id, first.line, first.version, first.execution_limit) == (
        "find_invoice", 3, "2.1", 3,
    )  # fmt: skip
    assert [c.text for c in first.conditions] == ["!guest"]
    assert first.description == "The customer looks for an invoice."
    assert first.examples == ("find my invoice", "where is the bill")
    assert first.tools == ("get_invoice", "get_link")
    assert [r for line in first.lines() for r in line.references] == ["shared/portal_help"]
    (line,) = second.section("solution")
    assert line.reply == "Fixed reply."  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("<a>A\nalways", ("a",), ["A", "always"]),
        ("<a>A\nalways", (), ["always"]),
        ("<!a>no A", (), ["no A"]),
        ("<a or b>one of them", ("b",), ["one of them"]),
        ("<a,b>both", ("a",), []),
        ("<a,b>both", ("a", "b"), ["both"]),
        ("<a>A\n<b>B\n<else>neither", ("b",), ["B"]),
        ("<a>A\n<b>B\n<else>neither", (), ["neither"]),
        ("<a>\nA1\n<b>\nB\n</>\nA2\n</>\nend", ("a",), ["A1", "A2", "end"]),
        ("<a>\nA1\n<b>\nB\n</>\nA2\n</>\nend", ("b",), ["end"]),
        ("<a>\nA1\n<b>\nB\n</>\nA2\n</>\nend", ("a", "b"), ["A1", "B", "A2", "end"]),
        ("- <a>item", ("a",), ["- item"]),
        ("see <https://example.org> and a < b", (), ["see <https://example.org> and a < b"]),
        ("one <!-- @no() --> two\n<!-- a\nb --> three", (), ["one  two", " three"]),
        ("#shared/help is a reference", (), ["#shared/help is a reference"]),
        ('<a>"one\ntwo"\nthree', ("a",), ['"one\ntwo"', "three"]),
        ('"one\n<a>two"', (), ['"one']),
    ],
)
def test_conditions(text: str, names: tuple[str, ...], expected: list[str]) -> None:
    assert solution(text, *names) == expected


def test_steps_and_regular_expressions_are_conditions() -> None:
    assert solution("<step_1>first\n<step_2>second", uses=1) == ["second"]
    assert solution("<regex:order \\d{2,4}>number", text="my Order 4711") == ["number"]
    assert solution("<regex:order \\d{2,4}>number", text="my order") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("### UseCase: a b\n", "1:14: 'a b' is no id"),
        ("### UseCase: a\n#### Solutoin\nx", "2:6: unknown section 'Solutoin'; did you mean"),
        ("### UseCase: a\n#### Solution\n<x>\ntext", "3:1: the block is never closed"),
        ("### UseCase: a\n#### Solution\ntext </>", "3:6: </> closes nothing"),
        ("### UseCase: a\n#### Solution\n@f(1)", "3:1: a tool is named without arguments"),
        ("### UseCase: a\n#### Solution\n<regex:(>x", "the regular expression is wrong"),
        ("### UseCase: a\n#### Solution\nx", "1:1: use case a has no Description"),
        ("### UseCase: a\n#### Description\nx", "1:1: use case a has no Solution"),
        ("### UseCase: a\n### UseCase: a\n", "2:14: use case a is already in line 1"),
        ("### UseCase: a\nstray\n", "2:1: text outside a section"),
        ("### UseCase a\n", "1:5: a colon is missing; write it as: ### UseCase: a"),
        ("a letter", "1:1: there is no use case"),
        ("### UseCase: a\n#### Solution\n x <!-- y\n### UseCase: b", "3:4: the comment is never"),
        ("### UseCase: a\n#### Solution\n```\n### UseCase: b", "3:1: the code fence is never"),
        ("### UseCase: a\n#### Solution\n" + "<x>\n" * 25, "too many blocks inside each other"),
    ],
)
def test_every_mistake_has_a_place_and_a_word(text: str, expected: str) -> None:
    assert any(expected in str(found) for found in parse(text).diagnostics)


def test_a_tool_nobody_offers_names_the_one_meant() -> None:
    (found,) = check_tools(parse(EXAMPLE), ["get_invoices", "get_link"])
    assert str(found) == "12:6: there is no tool 'get_invoice'; did you mean @get_invoices()?"


def test_a_place_is_that_of_the_file_whatever_stands_before_it() -> None:
    text = '### UseCase: a\n#### Description\nd\n#### Solution\n<web>Call @no().\n"A\n  @nope() b"'
    found = check_tools(parse(text), [])
    assert [(f.line, f.column) for f in found] == [(5, 11), (7, 1)]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("{{get_bil.amount}}", "1:4: nothing fills {{get_bil}}; did you mean {{get_bill}}?"),
        ("{{#get_bill}}x", "1:2: the section {{#get_bill}} is never closed"),
        ("x{{/get_bill}}", "1:3: {{/get_bill}} closes nothing; remove it"),
        ("{{get_bill", "1:2: a {{ begins no name"),
        ("{{#get_bill}}{{any}}{{/get_bill}}{{^get_bill}}{{.}}{{/get_bill}} {{user.id}}", None),
    ],
)
def test_replies_that_cannot_be_filled_are_told(reply: str, expected: str | None) -> None:
    text = f'### UseCase: a\n#### Description\nd\n#### Solution\n"{reply}"\n'
    found = [str(problem) for problem in check_replies(parse(text), ["get_bill", "user"])]
    assert (found == []) if expected is None else found[0].startswith(f"5{expected[1:]}")


@pytest.mark.parametrize(
    "text",
    [
        "@a(" * 100_000,
        "<a>" * 30_000 + "x",
        "<a>\n" * 20_000,
        "#" + " " * 100_000 + "x",
        "<!--" * 50_000,
        "<regex:" + "\\" * 100_001,
        "### UseCase: a" + " " * 50_000 + "b",
        "<version:" + " " * 50_000,
        '"\n' * 30_000,
    ],
    ids=lambda text: text[:12],
)
def test_time_grows_with_the_text_only(text: str) -> None:
    began = time.process_time()
    for case in parse(f"### UseCase: a\n#### Description\nd\n#### Solution\n{text}").use_cases:
        list(lines_that_hold(case.section("solution"), Facts(frozenset("a"))))
    assert time.process_time() - began < 3


def test_what_a_model_reads_has_only_what_holds() -> None:
    text = rendered(parse(EXAMPLE).use_cases, Facts(frozenset({"business"})))
    assert "Mention the business portal" in text
    assert "private portal" not in text
    assert "internal note" not in text
    assert "# no heading, @no_tool()" in text
    assert "Call get_invoice and share the link (get_link [must be called])." in text
    assert "find_invoice" not in rendered(parse(EXAMPLE).use_cases, Facts(frozenset({"guest"})))


@given(st.text(alphabet=st.sampled_from('#<>/-@()! \n"{}aUseCase:`'), max_size=300))
def test_any_text_is_read_without_a_crash(text: str) -> None:
    for case in parse(f"### UseCase: a\n{text}").use_cases:
        list(lines_that_hold(case.section("solution"), Facts()))


def test_a_large_document_is_read_in_time() -> None:
    began = time.process_time()
    document = parse(EXAMPLE.replace("find_invoice", "x{}") * 2_000)
    assert len(document.use_cases) == 4_000
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{a.b}} and {{missing.x}}.", "1 and ."),
        ("{{#rows}}{{n}};{{/rows}}", "1;2;"),
        ("{{^none}}nothing{{/none}}{{#none}}some{{/none}}", "nothing"),
        ("{{#a}}{{b}}{{/a}}", "1"),
        ("{{#words}}{{.}},{{/words}}", "x,y,"),
        ("{{yes}} {{amount}} {{day}}", "yes 1,234.50 1 December 2026"),
        ("{{#open}}never closed", ""),
        ("Two:\n{{#words}}\n- {{.}}\n{{/words}}\nEnd", "Two:\n- x\n- y\nEnd"),
        ("{{rows}}", "- n: 1\n- n: 2"),
        ('no <tags> & "escapes" {{html}}', 'no <tags> & "escapes" <b>'),
    ],
)
def test_templates(template: str, expected: str) -> None:
    from datetime import date
    from decimal import Decimal

    values = {
        "a": {"b": 1}, "rows": [{"n": 1}, {"n": 2}], "none": [], "words": ["x", "y"],
        "yes": True, "amount": Decimal("1234.5"), "day": date(2026, 12, 1), "html": "<b>",
    }  # fmt: skip
    assert mustache.render(template, values) == expected
