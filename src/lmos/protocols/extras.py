"""Protocols whose library comes with an extra: there or not, found out without loading it."""

from importlib.util import find_spec

from lmos.model.errors import MissingExtra


def installed(module: str) -> bool:
    """Whether the library is there."""
    return find_spec(module) is not None


def require(module: str, extra: str, what: str) -> None:
    """Raises `MissingExtra` unless the library is there."""
    if not installed(module):
        raise MissingExtra(extra, what)
