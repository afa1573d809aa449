"""Semantic versions, by the letter of semver 2.0."""

import re
from dataclasses import dataclass
from functools import total_ordering

from lmos.model import errors

_NUMBER = r"(0|[1-9]\d*)"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    r"(?:-((?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*))?"
    r"(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?",
    re.ASCII,
)
_LONGEST = 256


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """A version. Ordered by precedence; the build part does not count."""

    major: int
    minor: int
    patch: int
    pre: tuple[int | str, ...] = ()
    build: str = ""

    @classmethod
    def parse(cls, text: str) -> "Version":
        """The version that the text writes. Raises `InvalidInput` when it is not strict semver."""
        found = _VERSION.fullmatch(text.strip()) if len(text) <= _LONGEST else None
        if found is None:
            raise errors.InvalidInput(
                f"{text[:80]!r} is not a version; write major.minor.patch, such as 1.0.0"
            )
        major, minor, patch, pre, build = found.groups()
        parts = tuple(int(p) if p.isdigit() else p for p in pre.split(".")) if pre else ()
        return cls(int(major), int(minor), int(patch), parts, build or "")

    @property
    def core(self) -> tuple[int, int, int]:
        """Major, minor and patch."""
        return self.major, self.minor, self.patch

    def _rank(self) -> tuple[object, ...]:
        # A release comes after its pre-releases; numbers before words, fewer parts before more.
        pre = tuple((0, p, "") if isinstance(p, int) else (1, 0, p) for p in self.pre)
        return (*self.core, not self.pre, pre)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self._rank() == other._rank()

    def __lt__(self, other: "Version") -> bool:
        return self._rank() < other._rank()

    def __hash__(self) -> int:
        return hash(self._rank())

    def __str__(self) -> str:
        text = f"{self.major}.{self.minor}.{self.patch}"
        if self.pre:
            text += "-" + ".".join(map(str, self.pre))
        return f"{text}+{self.build}" if self.build else text
