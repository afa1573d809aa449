"""Everything that is wrong with a document is told at once: where, what, and how to mend it."""

import time

import pytest
from adl_documents import documents
from hypothesis import given, settings

from lmos.arc.adl import (
    Document,
    Files,
    check_conditions,
    check_fences,
    check_replies,
    check_tools,
    formatted,
    link,
    parse,
)
from lmos.arc.adl.ast import Condition, Fence
from lmos.arc.adl.checks import exclusive

TOP = "### UseCase: a\n#### Description\nd\n#### Solution\n"  # a solution begins in line 5


def said(text: str) -> list[str]:
    return [str(diagnostic) for diagnostic in parse(text).diagnostics]


def case(header: str, *examples: str) -> str:
    text = f"### UseCase: {header}\n#### Description\nd\n#### Solution\ns\n"
    return text + ("#### Examples\n" + "\n".join(examples) + "\n" if examples else "")


@pytest.mark.parametrize(
    ("solution", "expected"),
    [
        ("<a or (b>x", "5:7: a ( is never closed; end it with )"),
        ("<a or>x", "5:6: a condition is missing; write a name, as in <web or app>"),
        ("<a) b>x", "5:3: ')' is not expected here; remove it, or open a ( before"),
        ("<a, , b>x", "5:5: a condition is missing"),
        ("<! >x", "5:4: a condition is missing"),
        ("<" + "(" * 30 + "a" + ")" * 30 + ">x", "5:23: the condition is too deep; nest 20 at"),
        ("<a or else>x", "5:2: else stands by itself; write <else>, or <else, web> for both"),
        ("<!else>x", "5:2: else stands by itself"),
        ("<a b x", "5:1: the condition is never closed; end it with >, or write \\< for the sign"),
        ("<x><a b", "5:4: the condition is never closed"),
        ("<is:x>y", "5:1: <is:x> is no condition; names have letters, digits, _ - and . only; wri"),
        ("<x>- <a=b>y", "5:6: <a=b> is no condition"),
        ("<regex:>x", "5:2: the regular expression is empty"),
        ("<regex:a(>x", "5:8: the regular expression is wrong: missing )"),
        ("<regex:" + "a" * 600 + ">x", "5:2: the regular expression is too long"),
        ("<regex:(a+b?)+c>x", "5:8: the regular expression may take very long; write it without"),
        ("text <web> more", "5:6: <web> stands inside the line and is no condition there"),
        ("<x></>", "5:1: the block is empty; put text between the condition and </>"),
        ("```expr\n1", "5:1: the code fence is never closed; end it with ```"),
        ("@f(a)", "5:1: a tool is named without arguments; write @f(); arguments come from its"),
        ("", "4:6: the section is empty; say something below it, or remove the heading"),
        ("// only a comment", "4:6: the section is empty"),
        ("s\n#### Exmaples\n- a", "6:6: unknown section 'Exmaples'; did you mean Examples?"),
        ("s\n#### Steps: one", "6:13: text behind a heading is not read; put it into the line"),
        ("s\n#### Category:", "6:6: the category is empty; write it as: #### Category: billing"),
        ("s\n#### Case b\n", "6:6: a colon is missing; write it as: ### Case: b"),
    ],
)
def test_mistakes(solution: str, expected: str) -> None:
    assert said(TOP + solution)[0].startswith(expected)


@pytest.mark.parametrize(
    "solution",
    [r"\<a b", "a < b > c", "<https://example.org> x", "1 <2", '"say <web> it"', r"text \<web>",
     "mail <a@b.c>", "<a@b.c>", "<br/>x", "</b>", "[link](x)",
     "```\n<a\n@f(1)\n</>\n```", "- [ ] task", "<else, a>x"],
)  # fmt: skip
def test_what_is_no_mistake(solution: str) -> None:
    assert said(TOP + solution) == []


def test_all_mistakes_are_told_at_once() -> None:
    found = said("### UseCase: a\n#### Solutoin\n<x\n#### Solution\n</>\n#### Description\n")
    assert [message.split(" ")[0] for message in found] == ["2:6:", "5:1:", "6:6:"]


# --- ids and examples -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "severity"),
    [
        ("a", "a", "error"),
        ("a", "a <x>", "error"),
        ("a <x>", "a <x, y>", "error"),
        ("a <x>", "a <y>", "warning"),
        ("a <x>", "a <!x>", None),
        ("a <x, y>", "a <y, !x>", None),
        ("a <x or y>", "a <!x and !y>", None),
        ("a <x or y>", "a <!x or !y>", "warning"),
        ("a <step_1>", "a <step_2>", None),
        ("a <regex:x>", "a <!x>", "warning"),
        ("a", "b", None),
    ],
)
def test_ids_that_are_there_twice(one: str, other: str, severity: str | None) -> None:
    found = parse(case(one) + case(other)).diagnostics
    assert [(d.severity, d.code) for d in found] == (
        [(severity, "duplicate-id")] if severity else []
    )
    if severity == "error":
        assert str(found[0]).startswith("6:14: use case a is already in line 1; rename one")


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [("a", "b", True), ("a <x>", "b", True), ("a <x>", "b <y>", True), ("a <x>", "b <!x>", False)],
)
def test_examples_of_two_use_cases(one: str, other: str, told: bool) -> None:
    text = case(one, "- my bill", "- other") + case(other, "- another", "* My bill!")
    assert said(text) == (
        ["16:1: 'My bill!' is an example of a too, in line 7; keep it where it belongs, so that it "
         "leads to one use case"] if told else []
    )  # fmt: skip


def test_conditions_that_exclude_each_other_are_worked_out_within_limits() -> None:
    def name(value: str) -> Condition:
        return Condition(value, "name", value)

    many = tuple(name(str(number)) for number in range(30))
    assert not exclusive(many, (Condition("", "not", parts=(many[0],)),))
    assert exclusive(many[:3], (Condition("", "not", parts=(many[0],)),))
    assert not exclusive((), many)


# --- against what there is ------------------------------------------------------------------------


def test_conditions_that_nobody_sets() -> None:
    document = parse(
        "### UseCase: a <guest>\n#### Description\nd\n#### Solution\n<web or (mobil and !x)>\n"
        "s\n</>\n<else>t\n<sometimes>u\n<step_2>v\n<regex:w>w\n"
    )
    found = check_conditions(document, ["web", "mobile", "guest"])
    assert [str(d) for d in found] == [
        "5:10: there is no condition 'mobil'; did you mean <mobile>?",
        "5:21: there is no condition 'x'; known: web, mobile, guest, sometimes",
    ]


def test_languages_that_nobody_runs() -> None:
    document = parse(TOP + "```expr\n1\n```\n```python\n1\n```\n```\n1\n```\n")
    (found,) = check_fences(document)
    assert (found.severity, str(found)) == (
        "warning",
        "8:1: nobody runs python, the fence stays as it is; languages that run: expr",
    )
    assert check_fences(document, ["expr", "python"]) == []


def test_expressions_that_cannot_be_read() -> None:
    fences = "```expr\n1\n1 +\n```\n```expr\nopen(1)\n```\n```expr\nlambda: 1\n```\n"
    fine = "```expr\nx = [a.b for a in c if today() > a.d]\nlen(x) if x else -1\n```\n"
    found = check_fences(parse(TOP + fences + fine))
    assert [str(d).split(";")[0] for d in found] == [
        "7:1: invalid syntax",
        "10:1: there is no function open",
        "13:1: Lambda is not part of the language",
    ]


def test_a_fence_is_data() -> None:
    (use_case,) = parse(TOP + "  ~~~~expr title\n  a\n```\n  ~~~~\n").use_cases
    (fence,) = use_case.section("solution")
    assert isinstance(fence, Fence)
    assert (fence.language, fence.code, fence.number, fence.column) == ("expr", "  a\n```", 5, 3)
    assert (fence.mark, fence.info) == ("~~~~", "expr title")


# --- any text -------------------------------------------------------------------------------------


def places(document: Document) -> list[tuple[int, int]]:
    found = [(d.line, d.column) for d in document.diagnostics]
    found += [(c.line, c.column) for c in document.comments]
    for use_case in document.use_cases:
        found.append((use_case.line, use_case.column))
        found += [(c.number, c.column) for c in use_case.conditions]
        found += [(part.number, getattr(part, "column", 1)) for part in use_case.parts()]
        found += [(number, 1) for number in use_case.example_lines]
    return found


@settings(max_examples=300)
@given(documents)
def test_every_text_is_read_and_every_place_is_in_it(text: str) -> None:
    document = parse(text)
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for line, column in places(document):
        assert 1 <= line <= len(lines)
        assert 1 <= column <= len(lines[line - 1]) + 1


HARD = {
    "headings": "# x{}\n",
    "sections": "#### Solution\n",
    "cases": "### UseCase: a{}\n",
    "one id": "### UseCase: a\n",
    "ids with conditions": "### UseCase: a <a{}, !b{}, c, d>\n",
    "conditions": "<a{} or (b and !c)>x\n",
    "on one line": "<a>",
    "open blocks": "<a>\n",
    "closes": "</>",
    "quotes": '"\n\n',
    "references": "#a{}/b ",
    "tools": "@t{}() ",
    "fences": "```\n",
    "comments": "<!-- ",
    "options": "[a] #b{}\n",
    "brackets": "[",
    "parentheses": "<" + "(" * 50 + "\n",
    "escapes": "\\<",
    "dashes": "- ",
    "hashes": "#",
    "colons": "### a:",
    "tags": "<x{}",
    "examples": "#### Examples\n- {}\n### UseCase: b\n",
}


@pytest.mark.parametrize("name", HARD)
def test_time_grows_with_the_text_only(name: str) -> None:
    def seconds(size: int) -> float:
        unit = HARD[name]
        count = size // len(unit)
        body = "".join(unit.replace("{}", str(i)) for i in range(count))
        text = TOP + body
        began = time.process_time()
        formatted(text)
        parse(text)
        return time.process_time() - began

    small = seconds(60_000)
    assert seconds(300_000) < 12 * max(small, 0.05)


@pytest.mark.parametrize("unit", ["@t{}() ", "#a{} ", "{{{{x{}}}}} ", "<a{}>", "<a{}>x\n"])
def test_time_of_checks_grows_with_the_text_only(unit: str) -> None:
    text = "".join(unit.format(i) for i in range(40_000))
    for solution in (text, f'"{text}"'):
        began = time.process_time()
        document = link(TOP + solution, Files({})).document
        check_tools(document, ["t"])
        check_conditions(document, ["a"])
        check_replies(document, ["x"])
        assert time.process_time() - began < 6


def test_five_megabytes_take_as_long_as_five_of_one() -> None:
    unit = "".join(case(f"c{{0}}_{i} <x>", f"- {{0}} one {i}", "- {0} two") for i in range(4))

    def seconds(size: int) -> float:
        text = "".join(unit.replace("{0}", str(i)) for i in range(size // len(unit)))
        began = time.process_time()
        assert len(parse(text).use_cases) > 1_000
        return time.process_time() - began

    assert seconds(5_000_000) < 12 * seconds(1_000_000)
