"""The words that the embedded model knows: the WordPiece vocabulary beside this module."""

from functools import cache
from importlib import resources


def pieces() -> dict[str, int]:
    """Every piece with its number."""
    file = resources.files("lmos.llm") / "data" / "vocab.txt"
    lines = file.read_text(encoding="utf-8").split("\n")
    return {piece: number for number, piece in enumerate(lines) if piece}


@cache
def words() -> frozenset[str]:
    """The pieces that are whole words, in small letters, most of them English."""
    return frozenset(piece for piece in pieces() if piece.isalpha())
