"""What libFuzzer calls with bytes: reading, formatting and rendering of ADL in both modes.

    python tests/fuzz/adl_target.py -max_total_time=60 [CORPUS]

An exception, a broken promise or an input that takes five seconds ends it with the input.
"""

import contextlib
import sys

import atheris

with atheris.instrument_imports(include=["lmos.arc.adl"]):
    from lmos.arc.adl import Facts, FenceFailed, compat, formatted, parse, rendered
    from lmos.model import errors

FACTS = (Facts(), Facts(frozenset("ax"), "ab", used=("a", "a")))


def try_one(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    document = parse(text)
    lines = text.count("\n") + text.count("\r") + 1
    assert all(1 <= found.line <= lines and found.column >= 1 for found in document.diagnostics)
    once = formatted(text)
    assert formatted(once) == once, "formatting again changes something"
    assert parse(once) == document, "formatting changes what the document says"
    for facts in FACTS:
        with contextlib.suppress(FenceFailed):
            rendered(document.use_cases, facts, {"a": {"b": [1, "x"]}})
    with contextlib.suppress(errors.InvalidInput):
        compat.render(compat.read(text), {"a", "x"}, text="ab", used=["a"])


def main() -> None:
    atheris.Setup(sys.argv, try_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
