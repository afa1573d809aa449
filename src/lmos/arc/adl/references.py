"""References across files: `#file/id` is the use case `id` of `file.md` beside the document.

`link` follows references from use case to use case, and gives one document of all that belongs
together: the document's own use cases, those that they refer to, and those of the `base_*.md`
beside it. Files are read through a `Loader`, once each, and never from outside its folder.
"""

import itertools
import posixpath
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from lmos.arc.adl.ast import Diagnostic, Document, Line, Option, UseCase
from lmos.arc.adl.checks import REUSED, exclusive
from lmos.arc.adl.meant import Meant
from lmos.arc.adl.parser import parse
from lmos.arc.adl.sections import REFERENCE
from lmos.model import errors

#: Files that one document may draw in.
MAX_FILES = 200
#: Bytes of a file.
MAX_FILE = 5 * 1024 * 1024

#: Circles of references that are looked at.
_CIRCLES = 1_000
_BASE = "base_"
_NAME = re.compile(r"[\w-][\w.-]*(?:/[\w-][\w.-]*)*")


class Loader(Protocol):
    """Where the files beside a document come from. Names are paths without `.md`, such as
    `shared/help`; they never leave the folder.
    """

    def read(self, name: str) -> str | None:
        """The text of a file, None when there is none. `InvalidInput` when it cannot be read."""

    def bases(self) -> Sequence[str]:
        """The names of the `base_*.md`, sorted."""


class Folder:
    """The files of a folder. Links that lead out of it are not followed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def read(self, name: str) -> str | None:
        """The text of `name.md`."""
        path = (self._folder / f"{name}.md").resolve()
        if not path.is_relative_to(self._folder) or not path.is_file():
            return None
        return read_file(path)

    def bases(self) -> Sequence[str]:
        """The `base_*.md` in the folder."""
        return sorted(path.stem for path in self._folder.glob(f"{_BASE}*.md"))


class Files:
    """Files that are given as texts by their names."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files

    def read(self, name: str) -> str | None:
        """The text of the name."""
        return self._files.get(name)

    def bases(self) -> Sequence[str]:
        """The names that begin with `base_`."""
        return sorted(name for name in self._files if name.startswith(_BASE))


def read_file(path: Path) -> str:
    """The text of a file. `InvalidInput` when it cannot be read, `TooLarge` over the limit."""
    try:
        if path.stat().st_size > MAX_FILE:
            raise errors.TooLarge(f"{path} has more than {MAX_FILE} bytes", limit=MAX_FILE)
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise errors.InvalidInput(
            f"the use cases {path} cannot be read: {error.strerror}"
        ) from None
    except UnicodeDecodeError:
        raise errors.InvalidInput(f"the use cases {path} are not UTF-8") from None


Key = tuple[str, str]  # a file's name and an id in it


@dataclass(frozen=True, slots=True)
class Linked:
    """A document with all that it refers to. Use cases and diagnostics of other files carry their
    `file`. `files` are the names of the other files that were read, `name` is the document's own.
    """

    document: Document
    name: str = ""
    files: tuple[str, ...] = ()
    targets: Mapping[Key, UseCase] = field(default_factory=dict)

    def follow(self, case: UseCase, reference: str) -> UseCase | None:
        """The use case that a reference in a use case leads to, None when there is none."""
        key = target_of(reference, case.file or self.name)
        return self.targets.get(key) if key else None


def load(path: Path) -> Linked:
    """The document of a file with all that it refers to beside it. `InvalidInput` when the file
    itself cannot be read; everything else is told in the diagnostics.
    """
    return link(read_file(path), Folder(path.parent), path.stem)


def link(text: str, loader: Loader, name: str = "") -> Linked:
    """The document with all that it refers to. `name` is what other files refer to it by."""
    return _Linker(text, loader, name).linked()


def target_of(reference: str, file: str) -> Key | None:
    """The file and the id that a reference in a file means; None where it leaves the folder."""
    path, _, id_ = reference.rpartition("/")
    if not path:
        return file, id_
    target = posixpath.normpath(posixpath.join(posixpath.dirname(file), path))
    return (target, id_) if _NAME.fullmatch(target) else None


@dataclass(frozen=True, slots=True)
class _Place:
    """A reference where it stands."""

    file: str
    reference: str
    line: int
    column: int


class _Linker:
    def __init__(self, text: str, loader: Loader, name: str) -> None:
        self._loader = loader
        self._name = name
        self._diagnostics: list[Diagnostic] = []
        self._files: dict[str, Meant | None] = {}
        self._cases: dict[Key, UseCase] = {}
        self._edges: dict[Key, dict[Key, _Place]] = {}
        self._document = parse(text)
        self._add(name, self._document)

    def linked(self) -> Linked:
        own = self._document.use_cases
        found = self._reached(own)
        ids = {case.id for case in found}
        bases = [case for case in self._bases() if case.id not in ids]
        joined = [*own, *found[len(own) :], *self._reached(bases)]
        joined = list({id(case): case for case in joined}.values())
        self._report_circles()
        others = [case for case in joined if case.file]
        if others:
            self._diagnostics += _reused(own, others)
        diagnostics = sorted(
            [*self._document.diagnostics, *self._diagnostics],
            key=lambda d: (d.file, d.line, d.column),
        )
        document = replace(self._document, use_cases=tuple(joined), diagnostics=tuple(diagnostics))
        read = tuple(name for name, ids in self._files.items() if ids and name != self._name)
        return Linked(document, self._name, read, self._cases)

    # --- files ------------------------------------------------------------------------------------

    def _add(self, name: str, document: Document) -> None:
        for case in document.use_cases:
            self._cases.setdefault((name, case.id), case)
        self._files[name] = Meant(dict.fromkeys(case.id for case in document.use_cases))

    def _ids(self, name: str) -> Meant | None:
        """The ids of a file, which is read now if it has not been; None when there is none."""
        if name not in self._files:
            if len(self._files) > MAX_FILES:
                raise errors.TooLarge(f"the document refers to more than {MAX_FILES} files")
            self._files[name] = None
            text = self._loader.read(name)
            if text is not None:
                document = parse(text, name)
                self._diagnostics += (replace(d, file=name) for d in document.diagnostics)
                self._add(name, document)
        return self._files[name]

    def _bases(self) -> list[UseCase]:
        names = {name for name in self._loader.bases() if name != self._name}
        for name in sorted(names):
            try:
                self._ids(name)
            except errors.InvalidInput as error:
                found = Diagnostic(
                    1, 1, error.message, "mend the file", "unreadable-file", file=name
                )
                self._diagnostics.append(found)
        return [case for (name, _), case in self._cases.items() if name in names]

    # --- following --------------------------------------------------------------------------------

    def _reached(self, cases: Sequence[UseCase]) -> list[UseCase]:
        """The use cases and all that they refer to, nearest first."""
        found = {id(case): case for case in cases}
        waiting = deque(cases)
        while waiting:
            for target in self._targets(waiting.popleft()):
                if id(target) not in found:
                    found[id(target)] = target
                    waiting.append(target)
        return list(found.values())

    def _targets(self, case: UseCase) -> Iterator[UseCase]:
        file = case.file or self._name
        edges = self._edges.setdefault((file, case.id), {})
        for place in _places(case):
            key = self._found(place, file)
            if key is not None:
                edges.setdefault(key, place)
                yield self._cases[key]

    def _found(self, place: _Place, file: str) -> Key | None:
        """What the reference leads to; None, which is told, when there is nothing."""
        reference = place.reference
        key = target_of(reference, file)
        if key is None:
            fix = "refer to files in the folder of the document, as in #shared/help"
            self._say(place, f"#{reference} leads out of the folder", fix, "reference-outside")
            return None
        name, id_ = key
        try:
            ids = self._ids(name)
        except errors.InvalidInput as error:
            self._say(place, error.message, "mend the file", "unreadable-file")
            return None
        if ids is None:
            fix = f"put it there, or write \\#{reference} for mere text"
            self._say(place, f"there is no file {name}.md", fix, "unknown-reference")
            return None
        if id_ not in ids:
            near = ids.near(id_)
            fix = f"did you mean #{near}?" if near else f"use cases there are {ids.listed()}"
            where = f" in {name}.md" if name != file else ""
            self._say(place, f"there is no use case {id_}{where}", fix, "unknown-reference")
            return None
        return key

    def _say(self, place: _Place, message: str, fix: str, code: str) -> None:
        found = Diagnostic(place.line, place.column, message, fix, code, file=place.file)
        self._diagnostics.append(found)

    # --- circles ----------------------------------------------------------------------------------

    def _report_circles(self) -> None:
        """Tells of use cases of several files that refer to each other in a circle."""
        edges = {key: tuple(to) for key, to in self._edges.items()}
        for circle in itertools.islice(circles(edges), _CIRCLES):
            if len({file for file, _ in circle}) < 2:
                continue  # within one file it is a menu that leads back
            names = [id_ if file == self._name else f"{file}/{id_}" for file, id_ in circle]
            place = self._edges[circle[-1]][circle[0]]
            message = f"references go in a circle: {' -> '.join([*names, names[0]])}"
            fix = "let one of them say itself what it needs of the other"
            self._say(place, message, fix, "reference-circle")


def circles(edges: Mapping[Key, Sequence[Key]]) -> Iterator[list[Key]]:
    """One circle for each edge that leads back to where a walk through the graph comes from."""
    done: set[Key] = set()
    for start in edges:
        path: dict[Key, Iterator[Key]] = {}
        if start not in done:
            path[start] = iter(edges[start])
        while path:
            at = next(reversed(path))
            to = next(path[at], None)
            if to is None:
                done.add(at)
                del path[at]
            elif to in path:
                keys = list(path)
                yield keys[keys.index(to) :]
            elif to not in done:
                path[to] = iter(edges.get(to, ()))


def _places(case: UseCase) -> Iterator[_Place]:
    for part in case.parts():
        if isinstance(part, Line) and part.references:
            found = list(REFERENCE.finditer(part.text))
            places = part.positions(match.start() for match in found)
            for match, (number, column) in zip(found, places, strict=True):
                yield _Place(case.file, match[1], number, column)
        elif isinstance(part, Option) and part.reference:
            yield _Place(case.file, part.reference, part.number, part.column)


def _reused(own: Sequence[UseCase], others: Sequence[UseCase]) -> Iterator[Diagnostic]:
    """Examples that use cases of other files share with the document's, told where they are."""
    mine = {example: case for case in own for example in case.examples}
    for case in others:
        for example, number in zip(case.examples, case.example_lines, strict=True):
            other = mine.get(example)
            if other and not exclusive(case.conditions, other.conditions):
                message = f"{example[:60]!r} is an example of {other.id} too, in line {other.line}"
                fix = f"{REUSED}; {other.id} is in the document that refers to this file"
                yield Diagnostic(number, 1, message, fix, "reused-example", file=case.file)
