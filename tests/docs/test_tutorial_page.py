"""The tutorial: its files are written and its commands run, in its order, as it stands."""

from pathlib import Path

from page_blocks import Reader, blocks, like

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"


def test_the_tutorial_can_be_followed(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    reader.follow(PAGE)
    commands = sum(text.count("$ ") for language, text in blocks(PAGE) if language == "console")
    assert len(reader.ran) == commands > 10


def test_a_command_that_prints_something_else_is_found() -> None:
    assert like("one ...\nthree\n", "one two\n three")
    assert not like("one ...\nthree\n", "one two\nfour")
    assert not like("one\n", "one two")
