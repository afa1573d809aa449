"""Documents written for the original ARC: read, rendered and reported byte for byte as it does."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmos.arc.adl import compat
from lmos.arc.adl.compat import Output
from lmos.model import errors

INVOICE = """<Version: 2.1>
### UseCase: find_invoice (3) <!guest>
#### Description
The customer looks for an invoice.
#### Steps
- <mobile>Ask for the phone number.
#### Solution
// internal note
Call @get_invoice() and share the link.
<business>
Mention the business portal #shared/portal_help.
</>
<else>Mention the private portal.
#### Fallback Solution
Offer a call-back.
----
"""


def rendered(document: str, *names: str, **given: object) -> str:
    return compat.render(compat.read(document), frozenset(names), **given)  # type: ignore[arg-type]


def solution(body: str, *names: str, **given: object) -> str:
    """What stands under Solution when the section has that body."""
    document = f"### UseCase: a\n#### Description\nd\n#### Solution\n{body}\n----\n"
    text = rendered(document, *names, **given)
    return text.removeprefix("### UseCase: a\n#### Description\nd\n\n#### Solution\n").removesuffix(
        "\n----\n\n"
    )


def test_the_worked_example() -> None:
    assert rendered(INVOICE, "business") == (
        "### UseCase: find_invoice\n"
        "#### Description\n"
        "The customer looks for an invoice.\n"
        "\n"
        "#### Steps\n"
        "#### Solution\n"
        "Call get_invoice and share the link.\n"
        "\n"
        "Mention the business portal #portal_help.\n"
        "\n"
        "----\n"
        "\n"
    )
    assert rendered(INVOICE, "guest") == ""
    assert "Mention the private portal." in rendered(INVOICE)
    assert "Offer a call-back." in rendered(INVOICE, used=["find_invoice"] * 2)
    assert "Offer a call-back." not in rendered(INVOICE, used=["find_invoice"])


@pytest.mark.parametrize(
    ("body", "names", "expected"),
    [
        ("<a>A\nB", ("a",), "A\nB\n"),
        ("<a>A\nB", (), "B\n"),
        ("<a>\n  A\n  B\n</>\nC", ("a",), "\nA\nB\nC\n"),
        ("<a>\n  A\n  B\n</>\nC", (), "C\n"),
        ("<a>A\nB</>\nC", ("a",), "A\nB\nC\n"),
        ("<a>A\nB</>\nC", (), "C\n"),
        ("<a>\nA1\n<b>B\nC\n</>", (), "A1\n"),  # what stands before a condition is always there
        ("<a>A</>\nB", ("a",), "A\nB\n"),
        ("<a,b>A", ("a",), ""),
        ("<a> <b>A", ("a", "b"), "A\n"),
        ("A <a> B", ("a",), "A  B\n"),
        ("<a or !b>A", (), "A\n"),
        ("<a or !b>A", ("b",), ""),
        ("<! a>A", ("a",), "A\n"),
        ("<a>A\n<else>E", ("a",), "A\n"),
        ("<a>A\n<else>E", (), "E\n"),
        ("<!a>A\n<else>E", (), "A\n"),
        ("<else>E\nB\n<a>A", (), "E\nB\n"),
        ("<b>bold</b>", (), ""),
        ("<regex:a{1,3}>A", (), ""),
        ("see @one() and (@one()), @two().", (), "see one and (one), two.\n"),
        ("@one() first", (), "@one() first\n"),
        ("call @one()!", (), "call one!\n"),
        ("call @one(1)", (), "call @one(1)\n"),
        ("to #x/y/case and #z.", (), "to #case and #z.\n"),
        ("(#x/case) #x/case!", (), "(#x/case) #x/case!\n"),
        ("A\n\n\n\nB", (), "A\n\n\nB\n"),
        ("[yes] go #case\n[] stay", (), "[yes] go #case\n[] stay\n"),
        ("<!-- one -->\nA\n// two", (), "A\n"),
        ("```kotlin\n1 + 1\n```", (), "```kotlin\n1 + 1\n```\n"),
        ("A\n---\nB", (), "A\n---\nB\n"),
        ("A\n  ----\nB", (), "A\n"),
    ],
)
def test_what_a_section_becomes(body: str, names: tuple[str, ...], expected: str) -> None:
    assert solution(body, *names) == expected


def test_regular_expressions_and_steps() -> None:
    body = "<regex:order \\d+>A\n<step_2>B\n<else>C"
    assert solution(body, text="my ORDER 12") == "A\n"
    assert solution(body, used=["a"]) == "B\n"
    assert solution(body, text="no") == "C\n"
    assert solution(body, step=2) == "B\n"
    with pytest.raises(errors.InvalidInput, match="no regular expression"):
        solution("<regex:(>A", text="x")


def test_alternatives_and_fallbacks() -> None:
    document = (
        "### UseCase: a (1)\n#### Description\nd\n#### Solution\nS\n"
        "#### Alternative Solution\nA\n#### Fallback Solution\nF\n----\n"
        "### UseCase: b\n#### Description\nd\n#### Solution\nS\n#### Alternative Solution\nA\n"
        "### UseCase: c (5)\n#### Description\nd\n#### Solution\nS\n#### Fallback Solution\nF\n----"
    )

    def chosen(*used: str) -> list[str]:
        text = rendered(document, used=used)
        return [part.split("\n")[1] for part in text.split("#### Solution")[1:]]

    assert chosen() == ["S", "S", "S"]
    assert chosen("b") == ["S", "A", "S"]
    assert chosen("a") == ["F", "S", "S"]
    assert chosen("b", "b") == ["S", "A", "S"]
    assert chosen("c", "b", "c") == ["S", "A", "F"]  # the limit of 5 does not put it off


def test_everything_around_the_solution() -> None:
    document = (
        "ignored\n### Skill: a\n#### Category: bills\n#### Description\n| x |\n  | y |\n"
        "#### Goal\nG\n"
        "#### Solution\nS\n#### Context\nC\n#### Output\nO\n#### Examples\n- 1\n- 2\n- 3\n"
        "### Case: sub\nB\n----\n"
    )
    assert rendered(document) == (
        "### UseCase: a\n#### Description\n| x |\n y |\n\n#### Goal\nG\n#### Solution\nS\n"
        "#### Context\nC\n#### Examples\n- 1\n- 2\n- 3\n\n----\n\n"
    )
    assert rendered(document, output=Output(solution=False, example_limit=1)) == (
        "### UseCase: a\n#### Description\n| x |\n y |\n\n#### Goal\nG\n"
        "#### Examples\n- 1\n\n----\n\n"
    )
    case, sub = compat.read(document)
    assert (case.category, sub.id, sub.sub) == ("bills", "sub", True)
    assert [line.text for line in sub.section("solution")] == ["B"]


def test_a_category_belongs_to_the_section_before_it_too() -> None:
    document = "### UseCase: a\n#### Description\nd\n#### Category: x\n#### Solution\nS\n"
    assert "d\n#### Category: x\n\n#### Solution" in rendered(document)


@pytest.mark.parametrize(
    ("header", "id_", "limit", "conditions"),
    [
        ("one (2) <a, b> <!c>", "one", 2, ("a", "b", "!c")),
        ("one ()", "one", None, ()),
        ("my case (2)", "my case (2)", None, ()),
        ("one(4)", "one", 4, ()),
    ],
)
def test_headers(header: str, id_: str, limit: int | None, conditions: tuple[str, ...]) -> None:
    (case,) = compat.read(f"### UseCase: {header}\n")
    assert (case.id, case.limit, case.conditions) == (id_, limit, conditions)


def test_one_of_several_with_the_same_id() -> None:
    document = "".join(
        f"### UseCase: a {header}\n#### Description\n{name}\n#### Solution\nS\n"
        for header, name in (("", "plain"), ("<x>", "x"), ("<x,y>", "x y"), ("<z>", "z"))
    )

    def chosen(*names: str) -> str:
        return rendered(document, *names).split("\n")[2]

    assert [chosen(), chosen("x"), chosen("x", "y"), chosen("x", "z")] == ["plain", "x", "x y", "x"]


def test_fences_are_run_behind_the_last_condition_only() -> None:
    body = "```k\n1\n```\n<a>A\n```k\n2\n```\n```other\n3\n```"
    got = solution(body, runners={"k": lambda code: f"ran {code}"})
    assert got == "```k\n1\n```\nran 2\n```other\n3\n```\n"


def test_references_to_other_files() -> None:
    files = {
        "shared/help": "### UseCase: x\n#### Solution\nX #shared/help/y .\n### UseCase: y\n"
        "#### Solution\nY\n"
    }
    document = "### UseCase: a\n#### Solution\nsee #shared/help/x, #no/z and #x\n"
    found = compat.resolve(compat.read(document), files.get)
    assert [case.id for case in found] == ["a", "x"]


def test_the_report_for_an_editor() -> None:
    case = "### UseCase: {}\n#### Description\nd\n#### Solution\nS\n#### Examples\n- one\n- {}\n"
    report = compat.report(case.format("a (2) <x>", "two") + case.format("a <x,y>", "two"))
    assert report["useCaseCount"] == 2
    assert report["errors"] == [
        {
            "code": "DUPLICATE_USE_CASE_IDS",
            "useCases": ["a"],
            "message": "Duplicate use case IDs found: a",
        }
    ]
    report = compat.report(case.format("a", "two") + case.format("b <x>", "three"))
    assert report["errors"] == [
        {
            "code": "REUSED_EXAMPLES",
            "useCases": ["a", "b"],
            "examples": ["- one"],
            "message": "The same examples were used in multiple Use Cases: [a, b] "
            "Examples: [- one]",
        }
    ]
    assert compat.report(case.format("a <x>", "1") + case.format("b <y>", "2"))["errors"] == []
    assert compat.report("### UseCase: a\n### Title\n") == {
        "useCases": [],
        "useCaseCount": 0,
        "errors": [
            {
                "code": "SYNTAX_ERROR",
                "useCases": [],
                "message": "Unknown UseCase section: ### Title",
            }
        ],
    }


def test_a_use_case_as_json() -> None:
    (case,) = compat.read(INVOICE)
    wire = case.wire()
    assert "category" not in wire  # no nulls
    assert (wire["id"], wire["executionLimit"], wire["version"]) == ("find_invoice", 3, "2.1")
    assert wire["examples"] == ""
    assert wire["solution"][1:4] == [  # type: ignore[index]
        {"text": "", "conditions": ["business"], "functions": [], "useCaseRefs": [],
         "endConditional": False},
        {"text": "Mention the business portal #portal_help.", "conditions": [], "functions": [],
         "useCaseRefs": ["shared/portal_help"], "endConditional": False},
        {"text": "", "conditions": [], "functions": [], "useCaseRefs": [], "endConditional": True},
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    ["@a() " * 60_000, "<a>" * 90_000, "#a/b " * 60_000, "<" * 300_000, "```\n" * 60_000,
     " #" + "a/" * 150_000, "@" + "a" * 300_000, "".join(f"#a/x{i} " for i in range(30_000))],
    ids=lambda line: line[:6],
)  # fmt: skip
def test_time_grows_with_the_text_only(line: str) -> None:
    began = time.process_time()
    solution(f"x {line}" if line[0] in " #" else line, runners={"": lambda code: code})
    assert time.process_time() - began < 3


@given(st.text(alphabet=st.sampled_from('#<>/-@()! \n\r|,"aCUseCase:x`'), max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    report = compat.report(f"### UseCase: a\n{text}")
    assert isinstance(report["errors"], list)
    if report["useCases"]:
        rendered(f"### UseCase: a\n{text}", "a", text="a")
