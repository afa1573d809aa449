"""Private values hidden behind placeholders, and restored."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lmos.arc.filters import values
from lmos.arc.filters.disguise import Disguise, named
from lmos.model import AnonymizationEntity

IBAN = "DE89 3704 0044 0532 0130 00"


def entity(value: str, replacement: str, type_: str = "NAME") -> AnonymizationEntity:
    return AnonymizationEntity(type=type_, value=value, replacement=replacement)


def test_each_value_has_one_placeholder() -> None:
    disguise = Disguise()
    text = f"I am a@b.example, IBAN {IBAN}. Write to a@b.example or c@d.example."
    hidden = disguise.hide(text)
    assert hidden == "I am [EMAIL_1], IBAN [IBAN_1]. Write to [EMAIL_1] or [EMAIL_2]."
    assert [e.value for e in disguise.entities] == ["a@b.example", IBAN, "c@d.example"]
    assert disguise.hide("again a@b.example") == "again [EMAIL_1]"
    assert disguise.restore(hidden) == text


def test_what_the_caller_brings_is_used() -> None:
    disguise = Disguise([entity("Anna Schmidt", "NAME_1"), entity("x@y.example", "NAME_10")])
    assert disguise.hide("Anna Schmidt, x@y.example, Annabel") == "NAME_1, NAME_10, Annabel"
    assert disguise.restore("NAME_10 and NAME_1, not NAME_11") == (
        "x@y.example and Anna Schmidt, not NAME_11"
    )
    assert disguise.hide("NAME_1 is here") == "NAME_1 is here"


@pytest.mark.parametrize("written", ["[EMAIL_1]", "[Email_1]", r"\[EMAIL\_1\]", r"[EMAIL\_1]"])
def test_placeholders_are_read_as_models_write_them(written: str) -> None:
    disguise = Disguise([entity("a@b.example", "[EMAIL_1]", "EMAIL")])
    assert disguise.restore(f"to **{written}**.") == "to **a@b.example**."


def test_a_placeholder_that_the_user_types_stands_for_nothing() -> None:
    disguise = Disguise()
    text = "Is [EMAIL_1] or [email\\_2] a@b.example?"
    assert disguise.hide(text) == "Is [EMAIL_1] or [email\\_2] [EMAIL_3]?"
    assert disguise.restore(disguise.hide(text)) == text


def test_own_patterns_and_finders() -> None:
    kinds = (values.pattern("customer", r"\bK\d{4}\b"), named("name", lambda text: ["Anna"]))
    disguise = Disguise(kinds=kinds)
    assert (
        disguise.hide("Anna is K1234, Annabel is not") == "[NAME_1] is [CUSTOMER_1], Annabel is not"
    )
    assert disguise.hide("Anna") == "[NAME_1]"


def test_data_is_restored_all_the_way_down() -> None:
    disguise = Disguise([entity("a@b.example", "[EMAIL_1]", "EMAIL")])
    hidden = {"to": ["[EMAIL_1]"], "n": 1, "deep": {"x": "Mail [EMAIL_1]"}}
    plain = {"to": ["a@b.example"], "n": 1, "deep": {"x": "Mail a@b.example"}}
    assert disguise.restore_in(hidden) == plain
    assert disguise.hide_in(plain) == hidden


PIECES = [
    *("a@b.example", IBAN, "DE89370400440532013000", "4111 1111 1111 1111", "+49 228 1810"),
    *("0228 1810", "[EMAIL_1]", "[IBAN_1]", "NAME_1", "[email\\_1]", "\\", "]", "[", "_1", "x"),
    *(
        "Anna",
        "K1234",
        "42,50 €",
        "1. Mai 2026",
        "https://a.example/b",
        " ",
        "\n",
        ".",
        "@",
        "_",
        "1",
    ),
]
KINDS = (*values.KINDS.values(), values.pattern("customer", r"K\d{4}"))
KNOWN = st.lists(
    st.builds(
        entity, st.sampled_from(PIECES), st.sampled_from(["NAME_2", "[NAME_3]", "Jo Do", "~"])
    ),
    max_size=3,
    unique_by=lambda e: e.replacement,
)


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(), KNOWN)
@example("[EMAIL_1][EMAIL_1]", [entity("[EMAIL_1]", "NAME_2")])
def test_restoring_what_was_hidden_gives_the_text(
    text: str, known: list[AnonymizationEntity]
) -> None:
    if any(e.replacement.lower() in text.lower() for e in known):
        known = []
    disguise = Disguise(known, KINDS)
    hidden = disguise.hide(text)
    assert disguise.restore(hidden) == text
    again = Disguise(disguise.entities, KINDS)
    assert again.hide(text) == hidden
    assert again.restore(again.hide(text)) == text


@given(st.lists(st.sampled_from(PIECES[:6]), max_size=6).map(" and ".join))
def test_nothing_that_is_private_is_left(text: str) -> None:
    hidden = Disguise(kinds=KINDS).hide(text)
    assert not any(piece in hidden for piece in PIECES[:6])


def test_the_time_grows_with_the_text_only() -> None:
    text = " ".join(f"user{n}@mail.example" for n in range(3000))
    disguise, began = Disguise(), time.perf_counter()
    assert disguise.restore(disguise.hide(text)) == text
    assert len(disguise.entities) == 3000
    assert time.perf_counter() - began < 8
