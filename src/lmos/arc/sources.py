"""Where an agent's use cases are read from."""

import sys
from pathlib import Path

from lmos.arc import adl
from lmos.arc.adl import Document, compat, references
from lmos.model import errors
from lmos.telemetry.tracing import loading


def folder_of_caller() -> Path:
    """The folder of the module that is making an agent."""
    frame = sys._getframe(2)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(("typing", "lmos.arc")):
        frame = frame.f_back
    file = frame.f_globals.get("__file__")
    return Path(file).resolve().parent if file else Path.cwd()


def read_text(use_cases: str | Path, folder: Path) -> tuple[str, Path | None]:
    """The text of use cases, and the file it is in where it is in one."""
    if isinstance(use_cases, str) and "\n" in use_cases:
        return use_cases, None
    path = folder / use_cases
    return references.read_file(path), path


def load_arc(use_cases: str | Path, folder: Path) -> list[compat.ArcUseCase]:
    """The use cases as the original reads them, with those that they refer to. `InvalidInput` says
    with the file and the line what it would not read.
    """
    text, path = read_text(use_cases, folder)
    files = adl.Folder(path.parent if path else folder)
    try:
        return compat.resolve(compat.read(text), files.read)
    except compat.ArcSyntaxError as error:
        place = f"{path or 'use_cases'}:{error.details['line']}"
        raise errors.InvalidInput(f"{place}: {error.message}") from None


def load(use_cases: str | Path, folder: Path) -> tuple[Document, tuple[Path, ...]]:
    """The document, and the files it came from if it came from any, its own first."""
    if not use_cases:
        return Document(()), ()
    if isinstance(use_cases, str) and "\n" in use_cases:
        return adl.parse(use_cases), ()
    path = folder / use_cases
    with loading(str(path)):
        linked = adl.load(path)
    others = (path.parent / f"{name}.md" for name in linked.files)
    return linked.document, (path, *others)
