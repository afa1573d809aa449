"""Version ranges: npm's language and Ivy's brackets, as the original's resolver reads them.

    1.2.3  =1.2.3           exactly                  ~1.2   >=1.2.0 <1.3.0
    >1.2  <=2  >= 1.0.0     compared                 ^1.2.3 >=1.2.3 <2.0.0   ^0.2.3 >=0.2.3 <0.3.0
    1  1.x  1.2.*  *        any below                1.2 - 2.3   >=1.2.0 <2.4.0
    >=1.2 <2                both                     1.x || >=3  either
    [1.0,2.0]  ]1.0,2.0[  [1.0,)  (,2.0[             Ivy: inclusive and exclusive ends

A pre-release is only taken where the range names a pre-release of the same major.minor.patch.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from lmos.model import errors
from lmos.resolver.versions import Version

_LONGEST = 256
_MOST_PARTS = 64
_PARTIAL = re.compile(
    r"[v=\s]*(?P<major>\d+|[xX*])"
    r"(?:\.(?P<minor>\d+|[xX*])(?:\.(?P<patch>\d+|[xX*])(?P<pre>-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?)?)?",
    re.ASCII,
)
_OPERATOR = re.compile(r"(>=|<=|>|<|=|~>|~|\^)?\s*(.+)")
_IVY = re.compile(r"([\[\](])\s*([^,\s]*)\s*,\s*([^,\s]*)\s*([\[\])])")
_SPACE_AFTER_OPERATOR = re.compile(r"(>=|<=|~>|[<>=~^])\s+")


@dataclass(frozen=True, slots=True)
class _Bound:
    """One comparison with a version."""

    operator: str
    version: Version

    def holds(self, version: Version) -> bool:
        match self.operator:
            case ">=":
                return version >= self.version
            case ">":
                return version > self.version
            case "<=":
                return version <= self.version
            case "<":
                return version < self.version
            case _:
                return version == self.version


@dataclass(frozen=True, slots=True)
class _Partial:
    """A version of which the end may be left open: 1, 1.x, 1.2."""

    major: int | None
    minor: int | None
    patch: int | None
    pre: tuple[int | str, ...] = ()

    def low(self) -> Version:
        return Version(self.major or 0, self.minor or 0, self.patch or 0, self.pre)

    def above(self) -> Version | None:
        """The first version over everything it stands for; None when that is everything."""
        if self.major is None:
            return None
        if self.minor is None:
            return Version(self.major + 1, 0, 0)
        if self.patch is None:
            return Version(self.major, self.minor + 1, 0)
        return None

    @property
    def whole(self) -> bool:
        return self.patch is not None


_NOTHING = (_Bound("<", Version(0, 0, 0, (0,))),)


@dataclass(frozen=True, slots=True)
class VersionRange:
    """A set of versions, kept as alternatives of comparisons that must all hold."""

    text: str
    _alternatives: tuple[tuple[_Bound, ...], ...]

    @classmethod
    def parse(cls, text: str) -> "VersionRange":
        """The range that the text writes. Raises `InvalidInput` saying what cannot be read."""
        return _parse(text)

    def contains(self, version: Version | str) -> bool:
        """Whether the version lies in the range."""
        wanted = Version.parse(version) if isinstance(version, str) else version
        return any(_satisfies(bounds, wanted) for bounds in self._alternatives)

    def __str__(self) -> str:
        return self.text


@lru_cache(maxsize=4096)
def _parse(text: str) -> VersionRange:
    if len(text) > _LONGEST:
        raise errors.InvalidInput(f"a version range is at most {_LONGEST} characters long")
    alternatives = tuple(_conjunction(part.strip(), text) for part in text.split("||"))
    return VersionRange(text, alternatives)


def _satisfies(bounds: tuple[_Bound, ...], version: Version) -> bool:
    if not all(bound.holds(version) for bound in bounds):
        return False
    if not version.pre:
        return True
    return any(b.version.pre and b.version.core == version.core for b in bounds)


def _conjunction(part: str, whole: str) -> tuple[_Bound, ...]:
    """The comparisons of one alternative."""
    if ivy := _IVY.fullmatch(part):
        return _ivy(ivy[1], ivy[2], ivy[3], ivy[4], whole)
    if len(ends := re.split(r"\s+-\s+", part)) == 2:
        return _hyphen(_partial(ends[0], whole), _partial(ends[1], whole))
    words = _SPACE_AFTER_OPERATOR.sub(r"\1", part).split()
    if len(words) > _MOST_PARTS:
        raise _unreadable(whole)
    return tuple(bound for word in words for bound in _word(word, whole))


def _word(word: str, whole: str) -> tuple[_Bound, ...]:
    found = _OPERATOR.fullmatch(word)
    if found is None:
        raise _unreadable(whole)
    operator, partial = found[1] or "", _partial(found[2], whole)
    if operator == "^":
        return _caret(partial)
    if operator in ("~", "~>"):
        return _tilde(partial)
    if operator in ("", "="):
        return _span(partial) if not partial.whole else (_Bound("=", partial.low()),)
    return _compared(operator, partial)


def _compared(operator: str, partial: _Partial) -> tuple[_Bound, ...]:
    """`>1.2` means over all of 1.2.x, `<=1.2` up to the end of it."""
    if partial.major is None:
        return _NOTHING if operator in ("<", ">") else ()
    above = partial.above()
    if above is None:
        return (_Bound(operator, partial.low()),)
    match operator:
        case ">":
            return (_Bound(">=", above),)
        case "<=":
            return (_Bound("<", above),)
        case _:
            return (_Bound(operator, partial.low()),)


def _span(partial: _Partial) -> tuple[_Bound, ...]:
    above = partial.above()
    return (_Bound(">=", partial.low()), _Bound("<", above)) if above else ()


def _tilde(partial: _Partial) -> tuple[_Bound, ...]:
    if not partial.whole:
        return _span(partial)
    low = partial.low()
    return _Bound(">=", low), _Bound("<", Version(low.major, low.minor + 1, 0))


def _caret(partial: _Partial) -> tuple[_Bound, ...]:
    """Whatever keeps the leftmost number that is not zero."""
    if partial.major is None:
        return ()
    low = partial.low()
    if low.major or partial.minor is None:
        above = Version(low.major + 1, 0, 0)
    elif low.minor or partial.patch is None:
        above = Version(0, low.minor + 1, 0)
    else:
        above = Version(0, 0, low.patch + 1)
    return _Bound(">=", low), _Bound("<", above)


def _hyphen(low: _Partial, high: _Partial) -> tuple[_Bound, ...]:
    bounds = () if low.major is None else (_Bound(">=", low.low()),)
    if high.major is None:
        return bounds
    above = high.above()
    return (*bounds, _Bound("<", above) if above else _Bound("<=", high.low()))


def _ivy(opening: str, low: str, high: str, closing: str, whole: str) -> tuple[_Bound, ...]:
    """`[` and `]` hold their end where they face inwards, and leave it out where they face away."""
    if (not low and opening != "(") or (not high and closing != ")"):
        raise _unreadable(whole)
    bounds = []
    if low:
        bounds.append(_Bound(">=" if opening == "[" else ">", _partial(low, whole).low()))
    if high:
        bounds.append(_Bound("<=" if closing == "]" else "<", _partial(high, whole).low()))
    return tuple(bounds)


def _partial(text: str, whole: str) -> _Partial:
    if not text or text == "latest":
        return _Partial(None, None, None)
    found = _PARTIAL.fullmatch(text)
    if found is None:
        raise _unreadable(whole)
    numbers: list[int | None] = []
    for name in ("major", "minor", "patch"):
        part = found[name]
        known = part is not None and part.isdigit() and None not in numbers
        numbers.append(int(part) if known else None)
    pre = (
        Version.parse(f"0.0.0{found['pre']}").pre if found["pre"] and numbers[2] is not None else ()
    )
    return _Partial(numbers[0], numbers[1], numbers[2], pre)


def _unreadable(whole: str) -> errors.InvalidInput:
    return errors.InvalidInput(
        f"{whole[:80]!r} is not a version range; write such as 1.2.3, >=1.2, ^1.2, 1.x or [1.0,2.0["
    )
