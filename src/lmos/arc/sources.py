"""Where an agent's use cases are read from."""

import sys
from pathlib import Path

from lmos.arc.adl import Document, parse
from lmos.model import errors


def folder_of_caller() -> Path:
    """The folder of the module that is making an agent."""
    frame = sys._getframe(2)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(("typing", "lmos.arc")):
        frame = frame.f_back
    file = frame.f_globals.get("__file__")
    return Path(file).resolve().parent if file else Path.cwd()


def load(use_cases: str | Path, folder: Path) -> tuple[Document, str]:
    """The document, and the file it came from if it came from one."""
    if not use_cases:
        return Document(()), ""
    if isinstance(use_cases, str) and "\n" in use_cases:
        return parse(use_cases), ""
    path = folder / use_cases
    try:
        return parse(path.read_text(encoding="utf-8")), str(path)
    except OSError as error:
        raise errors.InvalidInput(
            f"the use cases {path} cannot be read: {error.strerror}"
        ) from None
