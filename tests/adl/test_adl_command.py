"""The command `lmos adl`: what it prints, what it changes, and its exit codes."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lmos.cli import lmos, main

GOOD = """### UseCase: view_bill <!guest>
#### Description
Shows a bill to {{name}}.
#### Solution
Call @get_bill()!
<web>See #shared/help.
<step_2>Again.
<regex:late>Sorry.
```expr
len(name)
```
#### Fallback Solution
Call us.
"""
BAD = "### UseCase: a\n#### Description\nd\n#### Solution\n<x\nsee #b\n```python\n1\n```\n"
HELP = "### UseCase: help\n#### Description\nhelps\n#### Solution\nh\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "shared.md").write_text(HELP)
    (tmp_path / "good.md").write_text(GOOD)
    (tmp_path / "notes.md").write_text("# Notes\n\nno use case\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def adl(*args: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(lmos, ["adl", *args], input=stdin)


def test_lint_tells_where_and_how_to_mend_it(folder: Path) -> None:
    (folder / "bad.md").write_text(BAD)
    result = adl("lint", "bad.md")
    assert result.output.splitlines() == [
        "bad.md:5:1: the condition is never closed; end it with >, or write \\< for the sign",
        "bad.md:6:5: there is no use case b; use cases there are a",
        "bad.md:7:1: warning: nobody runs python, the fence stays as it is; languages that run: "
        "expr",
    ]
    assert result.exit_code == 1
    data = json.loads(adl("lint", "-o", "json", str(folder)).output)
    assert {"file": str(folder / "bad.md"), "line": 6, "column": 5, "severity": "error",
            "code": "unknown-reference", "message": "there is no use case b",
            "fix": "use cases there are a"} in data  # fmt: skip


def test_lint_against_conditions_and_an_agent(folder: Path) -> None:
    assert adl("lint", "good.md").exit_code == 0
    result = adl("lint", "good.md", "--condition", "web", "--condition", "gast")
    assert result.output.startswith("good.md:1:26: there is no condition 'guest'; did you mean")
    (folder / "made_for_lint.py").write_text(
        "from lmos import Agent\n\ndef get_bills() -> str:\n    '''Bills.'''\n    return ''\n\n"
        "agent = Agent(name='a', use_cases='', tools=[get_bills])\n"
    )
    result = adl("lint", "good.md", "--agent", "made_for_lint")
    assert result.output == (
        "good.md:5:6: there is no tool 'get_bill'; did you mean @get_bills()?\n"
    )


def test_lint_of_what_cannot_be_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["adl", "lint", "none.md"])
    assert ended.value.code == 2
    assert "none.md cannot be read" in capsys.readouterr().err
    assert adl("lint", "-", stdin=BAD).output.startswith("-:5:1: the condition is never closed")


def test_fmt_writes_shows_or_checks(folder: Path) -> None:
    untidy = HELP.replace("### UseCase:", "#  usecase :").replace(" :", ":") + "\n\n"
    (folder / "untidy.md").write_text(untidy)
    assert adl("fmt", "--check", ".").output == "would format untidy.md\n"
    assert adl("fmt", "--check", ".").exit_code == 1
    shown = adl("fmt", "--diff", "untidy.md")
    assert (shown.exit_code, "+### UseCase: help" in shown.output) == (0, True)
    assert (folder / "untidy.md").read_text() == untidy
    assert adl("fmt", "untidy.md").output == "formatted untidy.md\n"
    assert (folder / "untidy.md").read_text() == HELP
    assert adl("fmt", "--check", ".").exit_code == 0
    assert adl("fmt", "-", stdin=untidy).output == HELP


def test_compile_prints_what_a_model_sees(folder: Path) -> None:
    text = adl("compile", "good.md", "--var", "name=Ada", "--condition", "web").output
    assert text == (
        "### UseCase: view_bill\n#### Description\nShows a bill to Ada.\n#### Solution\n"
        "Call get_bill [must be called]\nSee #help.\n3\n\n"
        "### UseCase: help\n#### Description\nhelps\n#### Solution\nh\n"
    )
    text = adl("compile", "good.md", "--var", "name=A", "--used", "view_bill").output
    assert "Again.\n1\n" in text
    assert "Sorry." in adl("compile", "good.md", "--var", "name=A", "--input", "too late").output
    assert "Again." in adl("compile", "good.md", "--var", "name=A", "--step", "2").output
    used = adl("compile", "good.md", "--used", "view_bill,view_bill").output
    assert "#### Solution\nCall us." in used
    assert "view_bill" not in adl("compile", "good.md", "--condition", "guest").output


def test_compile_of_a_document_with_mistakes(folder: Path) -> None:
    (folder / "bad.md").write_text(BAD)
    result = adl("compile", "bad.md")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("bad.md:5:1: the condition is never closed")


def test_compile_as_the_original_does(folder: Path) -> None:
    (folder / "old.md").write_text(
        "### UseCase: a\n#### Description\nd {{x}}\n#### Solution\nsee #shared/help, call @f()!\n"
    )
    result = adl("compile", "old.md", "--mode", "arc", "--var", "x=<1>")
    assert result.output == (
        "### UseCase: a\n#### Description\nd &lt;1&gt;\n\n#### Solution\nsee #help, call f!\n\n"
        "----\n\n### UseCase: help\n#### Description\nhelps\n\n#### Solution\nh\n\n----\n\n"
    )
    (folder / "old.md").write_text("### UseCase: a\n#### Notes\n")
    result = adl("compile", "old.md", "--mode", "arc")
    assert result.exit_code == 1
    assert result.stderr == "old.md:2:1: Unknown UseCase section: #### Notes\n"


def test_a_fence_that_fails_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["adl", "compile", "good.md"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "lmos: the code in line 9 of use case view_bill failed: line 1: name is not known; "
        "values are none\n"
    )


def test_compile_shows_one_step_at_a_time(folder: Path) -> None:
    steps = "#### Steps\n- Ask for the day.\n- Ask for the place.\n#### Solution\nh\n"
    (folder / "steps.md").write_text(HELP.replace("#### Solution\nh\n", steps))
    for step, expected in (("1", "- Ask for the day."), ("2", "- Ask for the place."), ("3", "h")):
        output = adl("compile", "steps.md", "--step", step).output
        assert output.endswith(f"#### Solution\n{expected}\n")
