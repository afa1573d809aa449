"""Documents that refer to others: what belongs together, and what is wrong with it."""

from pathlib import Path

import pytest

from lmos.arc.adl import Facts, Files, Linked, link, load, rendered
from lmos.model import errors


def case(id_: str, solution: str, *examples: str) -> str:
    text = f"### UseCase: {id_}\n#### Description\n{id_}.\n#### Solution\n{solution}\n"
    return text + ("#### Examples\n" + "".join(f"- {e}\n" for e in examples) if examples else "")


def linked(text: str, name: str = "main", **files: str) -> Linked:
    return link(text, Files({key.replace("__", "/"): value for key, value in files.items()}), name)


def ids(found: Linked) -> list[str]:
    return [f"{c.file}/{c.id}".strip("/") for c in found.document.use_cases]


def said(found: Linked) -> list[str]:
    return [str(diagnostic) for diagnostic in found.document.diagnostics]


def test_references_are_followed_from_file_to_file() -> None:
    found = linked(
        case("a", "See #shared/help and #b.") + case("b", "-"),
        shared__unused=case("unused", "-"),
        shared__more=case("x", "Or #y.") + case("y", "-"),
        shared=case("help", "Look at #shared/more/x."),
    )
    assert said(found) == []
    assert ids(found) == ["a", "b", "shared/help", "shared/more/x", "shared/more/y"]


def test_a_path_begins_at_the_file_that_it_stands_in() -> None:
    found = linked(
        case("a", "See #shared/help/one."),
        shared__help=case("one", "Go on with #two and #more/x."),
        shared__more=case("x", "Or #y, or #help/two.") + case("y", "-"),
    )
    assert said(found) == [
        "shared/help:5:12: there is no use case two; use cases there are one",
        "shared/more:5:11: there is no use case two in shared/help.md; use cases there are one",
    ]
    assert ids(found) == ["a", "shared/help/one", "shared/more/x", "shared/more/y"]
    (a, one, x, _) = found.document.use_cases
    assert found.follow(a, "shared/help/one") is one
    assert found.follow(one, "more/x") is x
    assert found.follow(one, "nothing") is None
    assert sorted(found.files) == ["shared/help", "shared/more"]


@pytest.mark.parametrize(
    ("solution", "expected"),
    [
        ("go to #bb", "5:7: there is no use case bb; did you mean #b_b?"),
        ("[x] #bb", "5:1: there is no use case bb; did you mean #b_b?"),
        ("see #../x/y", "5:5: #../x/y leads out of the folder"),
        ("see #s/../../x/y", "5:5: #s/../../x/y leads out of the folder"),
        ("see #no/y", "5:5: there is no file no.md"),
        ("a\n<x>  b #s/y", "6:8: there is no use case y in s.md; use cases there are z"),
    ],
)
def test_references_that_lead_nowhere(solution: str, expected: str) -> None:
    found = linked(case("a", solution) + case("b_b", "-"), s=case("z", "-"))
    (message,) = said(found)
    assert message.startswith(expected)


@pytest.mark.parametrize(
    "solution", [r"\#x", '"#x"', "x#x", "{{#list}} {{/list}}", "&#x;", "#1", "a # b"]
)
def test_what_is_no_reference(solution: str) -> None:
    assert said(linked(case("a", solution))) == []


def test_circles_across_files_are_told_and_menus_are_not() -> None:
    found = linked(case("a", "#x/b"), x=case("b", "#c") + case("c", "#main/a"))
    assert said(found) == [
        "x:10:1: references go in a circle: a -> x/b -> x/c -> a; let one of them say itself what "
        "it needs of the other"
    ]
    assert ids(found) == ["a", "x/b", "x/c"]
    assert said(linked(case("a", "[x] #b") + case("b", "[y] #a"))) == []


def test_base_documents_always_belong_to_it() -> None:
    found = linked(
        case("a", "-"), base_help=case("a", "-") + case("help", "#x/b"), x=case("b", "-")
    )
    assert ids(found) == ["a", "base_help/help", "x/b"]
    assert said(found) == []
    assert ids(linked(case("help", "-"), "base_help", base_help="")) == ["help"]


def test_examples_of_several_files_are_compared() -> None:
    found = linked(case("a", "#x/b", "my bill"), x=case("b", "-", "other", "my bill"))
    assert said(found) == [
        "x:8:1: 'my bill' is an example of a too, in line 1; keep it where it belongs, so that it "
        "leads to one use case; a is in the document that refers to this file"
    ]


def test_mistakes_of_other_files_carry_their_name() -> None:
    found = linked(case("a", "#x/b"), x=case("b", "<u"))
    assert said(found)[0].startswith("x:5:1: the condition is never closed")
    assert found.document.errors[0].file == "x"


def test_files_are_limited() -> None:
    files = {f"f{i}": case("x", f"#f{i + 1}/x") for i in range(300)}
    (message,) = said(linked(case("a", "#f0/x"), **files))
    assert message.startswith("f199:5:1: the document refers to more than 200 files")


def test_files_of_a_folder_and_nothing_outside(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    (inside / "shared").mkdir(parents=True)
    (tmp_path / "secret.md").write_text(case("s", "-"))
    (inside / "shared" / "help.md").write_text(case("h", "Help."))
    (inside / "link.md").symlink_to(tmp_path / "secret.md")
    (inside / "bad.md").write_bytes(b"\xff")
    (inside / "base_all.md").write_text(case("base", "-"))
    (inside / "base_bad.md").write_bytes(b"\xff")
    (inside / "main.md").write_text(case("a", "#shared/help/h #link/s #bad/x #../secret/s"))
    found = load(inside / "main.md")
    assert ids(found) == ["a", "shared/help/h", "base_all/base"]
    assert [d.code for d in found.document.diagnostics] == [
        "unknown-reference", "unreadable-file", "reference-outside", "unreadable-file",
    ]  # fmt: skip
    assert found.document.errors[-1].file == "base_bad"
    assert "Help." in rendered(found.document.use_cases, Facts())
    with pytest.raises(errors.InvalidInput, match=r"none\.md cannot be read"):
        load(inside / "none.md")
