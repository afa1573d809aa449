"""Ranges mean what npm and the original's library measured; versions order as semver says."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmos.model import errors
from lmos.resolver import Version, VersionRange

LINES = (Path(__file__).parent / "ranges.tsv").read_text().splitlines()
VERSIONS = LINES[3].removeprefix("# versions: ").split()
ROWS = [line.split("\t") for line in LINES if not line.startswith("#")]

numbers = st.integers(0, 30)
pres = st.lists(st.one_of(numbers, st.sampled_from(["alpha", "beta", "rc"])), max_size=3).map(tuple)
versions = st.builds(Version, numbers, numbers, numbers, pres)
releases = st.builds(Version, numbers, numbers, numbers)


@pytest.mark.parametrize(("text", "expected", "source"), ROWS, ids=[f"<{r[0]}>" for r in ROWS])
def test_a_range_holds_what_was_measured(text: str, expected: str, source: str) -> None:
    if expected == "error":
        with pytest.raises(errors.InvalidInput, match="is not a version range"):
            VersionRange.parse(text)
        return
    held = [v for v in VERSIONS if VersionRange.parse(text).contains(v)]
    assert held == ([] if expected == "-" else expected.split()), f"measured by {source}"


@pytest.mark.parametrize("text", ["1.0", "1", "v1.0.0", "01.0.0", "1.0.0-", "", "a.b.c", "1.0.0.0"])
def test_what_is_no_version_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(errors.InvalidInput, match=r"such as 1\.0\.0"):
        Version.parse(text)


def test_the_specifications_own_order() -> None:
    order = """
        1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11
        1.0.0-rc.1 1.0.0 2.0.0 2.1.0 2.1.1
    """
    texts = order.split()
    parsed = [Version.parse(t) for t in texts]
    assert all(a < b for a, b in itertools.pairwise(parsed))
    assert Version.parse("1.0.0+a") == Version.parse("1.0.0+b")


@given(versions)
def test_a_version_survives_its_text(version: Version) -> None:
    assert Version.parse(str(version)) == version


@given(versions, versions, versions)
def test_the_order_is_total(a: Version, b: Version, c: Version) -> None:
    assert (a < b) + (b < a) + (a == b) == 1
    if a < b and b < c:
        assert a < c


@given(releases, releases)
def test_caret_and_tilde_are_what_they_are_defined_to_be(a: Version, b: Version) -> None:
    lead = next((i for i, n in enumerate(a.core) if n), 2)
    caret = b >= a and b.core[: lead + 1] == a.core[: lead + 1]
    assert VersionRange.parse(f"^{a}").contains(b) == caret
    assert VersionRange.parse(f"~{a}").contains(b) == (b >= a and b.core[:2] == a.core[:2])


@given(releases, releases, releases)
def test_space_is_and_bars_are_or_brackets_are_comparisons(
    a: Version, b: Version, c: Version
) -> None:
    low, high = VersionRange.parse(f">={a}"), VersionRange.parse(f"<{b}")
    assert VersionRange.parse(f">={a} <{b}").contains(c) == (low.contains(c) and high.contains(c))
    assert VersionRange.parse(f">={a} || <{b}").contains(c) == (low.contains(c) or high.contains(c))
    assert VersionRange.parse(f"[{a},{b}[").contains(c) == (a <= c < b)
    assert VersionRange.parse(f"]{a},{b}]").contains(c) == (a < c <= b)


@given(st.text(max_size=40))
def test_any_text_is_a_range_or_a_clear_error(text: str) -> None:
    try:
        VersionRange.parse(text).contains("1.2.3")
    except errors.InvalidInput as error:
        assert "version" in error.message  # noqa: PT017
