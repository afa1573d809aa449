"""An answer cut into sentences while it streams."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmos.arc.windows import SentenceWindow, sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One. ", "Two! ", "Three? ", "Four"]),
        ("It costs 42.50 EUR. Pay soon.", ["It costs 42.50 EUR. ", "Pay soon."]),
        ("Mr. Smith, e.g. Dr. No, called.", ["Mr. Smith, e.g. Dr. No, called."]),
        ("Am 1. Dezember 2026 z. B. oder z.B. bzw. Ihre Nr. 5.", None),
        (
            "See https://a.example/b.c?d=1. Then go.",
            ["See https://a.example/b.c?d=1. ", "Then go."],
        ),
        ("Wait... What? Hm… Well.", ["Wait... What? ", "Hm… Well."]),
        ('He said "Stop." Then left.', ['He said "Stop." ', "Then left."]),
        ('"Stop!" he said.', None),
        ("1. First thing\n2. Second thing\n", ["1. First thing\n", "2. Second thing\n"]),
        ("Choose:\n- red\n- blue", ["Choose:\n", "- red\n", "- blue"]),
        ("45. Forty-five is a number.", None),
        ("a line that\ngoes on DE89\n3704 here", None),
        ("# Title\n\nText.", ["# Title\n\n", "Text."]),
        ("A list\n* item", ["A list\n", "* item"]),
        ("A multiplication\n*bold* word", None),
        ("您好。请问？好", ["您好。", "请问？", "好"]),
        ("The U.S. Army. It is.", ["The U.S. Army. ", "It is."]),
        ("(One.) Two.", ["(One.) ", "Two."]),
        ("", []),
        ("  \n ", ["  \n "]),
    ],
)
def test_sentences_end_where_people_end_them(text: str, expected: list[str] | None) -> None:
    assert sentences(text) == ([text] if expected is None else expected)


PARTS = """
One two 3 12 . ! ? ... - * 1. z.B. https://a.example/x.y [EMAIL_1] DE89 。 ” " : Dr. # ```
"""
texts = st.lists(st.sampled_from([*PARTS.split(), " ", "  ", "\n", "\n\n"]), max_size=60).map(
    "".join
)


@given(texts | st.text(max_size=200), st.lists(st.integers(1, 7), min_size=1, max_size=5))
def test_nothing_is_lost_and_cutting_does_not_depend_on_the_chunks(
    text: str, sizes: list[int]
) -> None:
    window, pieces, at, turn = SentenceWindow(), [], 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        pieces += window.feed(text[at : at + size])
        at, turn = at + size, turn + 1
    pieces += window.flush()
    assert "".join(pieces) == text
    assert pieces == sentences(text)
    assert all(pieces)


@given(texts | st.text(max_size=200), st.integers(1, 20), st.integers(1, 9))
def test_the_buffer_is_bounded(text: str, limit: int, size: int) -> None:
    window, pieces = SentenceWindow(limit), []
    for at in range(0, len(text), size):
        pieces += window.feed(text[at : at + size])
        assert len(window._held) <= limit
    pieces += window.flush()
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= limit for piece in pieces)


def test_a_sentence_is_given_out_with_the_first_letter_of_the_next() -> None:
    window = SentenceWindow()
    assert window.feed("It is done.") == []
    assert window.feed(" ") == []
    assert window.feed("N") == ["It is done. "]


@settings(deadline=None, max_examples=5)
@given(st.sampled_from(["a", " ", ".", ". A", "\n", "a ", "*", "1. "]))
def test_the_time_grows_with_the_text_only(unit: str) -> None:
    text, window, began = unit * (200_000 // len(unit)), SentenceWindow(), time.perf_counter()
    for at in range(0, len(text), 4):
        window.feed(text[at : at + 4])
    window.flush()
    assert time.perf_counter() - began < 8
