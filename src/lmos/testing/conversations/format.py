"""The format of test files.

    ---
    tenant: acme                      who is asking and where, for all tests of the file
    user: a-1001
    ---
    ### Test: the bill of the month before
    - channel: web                    ... and for this test
    > how much do I owe?
    > / what do I have to pay?        another way to say the same
    - use case: view_bill
    - says: 42.50 EUR
    > and the month before?
    - calls: get_bill(month="previous")

Everything else is text for people. All that is wrong in a file is told at once, with its lines.
"""

import ast
import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from lmos.model import errors

SUFFIX = ".test.md"

Kind = Literal[
    "use case",
    "calls",
    "never calls",
    "says",
    "never says",
    "exactly",
    "matches",
    "means",
    "judge",
    "asks",
    "resolved",
    "hands over to",
    "context",
]
KINDS: tuple[Kind, ...] = Kind.__args__  # type: ignore[attr-defined]
SETTINGS = ("tenant", "channel", "user", "context")

_HEADING = re.compile(r"#{1,6}\s*Test\s*:\s*(?P<name>.*)$", re.IGNORECASE)
_ITEM = re.compile(r"[-*]\s+(?P<key>[A-Za-z ]+?)\s*(?:\((?P<least>[\d.]+)\))?\s*:\s*(?P<value>.*)$")
_PAIR = re.compile(r"(?P<key>[\w.-]+)\s*=\s*(?P<value>.*)")
_QUOTES = (('"', '"'), ("“", "”"), ("'", "'"))
_GRADED = ("means", "judge")


@dataclass(frozen=True)
class Check:
    """Something that is expected of an answer. `least` is the likeness or the mark, from 0 to 1,
    from which it passes; `arguments` are those of a call.
    """

    kind: Kind
    text: str
    line: int
    least: float | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


@dataclass(frozen=True)
class Message:
    """What the user says, other ways to say it, and what is expected of the answer."""

    text: str
    line: int
    variants: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()

    def said(self, variant: int) -> str:
        """The message in a variant of the conversation; 0 is the message itself."""
        ways = (self.text, *self.variants)
        return ways[variant] if variant < len(ways) else self.text


@dataclass(frozen=True)
class Conversation:
    """A test."""

    name: str
    file: Path
    line: int
    messages: tuple[Message, ...]
    tenant: str = ""
    channel: str = ""
    user: str = ""
    context: Mapping[str, str] = field(default_factory=dict)

    @property
    def variants(self) -> int:
        """How many ways there are to have it."""
        return 1 + max((len(m.variants) for m in self.messages), default=0)


def find(path: Path) -> list[Path]:
    """The test files at the path: itself, or all below it."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise errors.InvalidInput(f"there is no file or directory {path}")
    hidden = (f for f in sorted(path.rglob(f"*{SUFFIX}")))
    found = [f for f in hidden if not any(p.startswith(".") for p in f.relative_to(path).parts)]
    if not found:
        raise errors.InvalidInput(f"{path} has no test files; they are named like *{SUFFIX}")
    return found


def read(path: Path) -> list[Conversation]:
    """The tests of a file. `InvalidInput` tells all that is wrong in it, by line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.InvalidInput(f"{path} cannot be read: {error}") from None
    return _Reader(path, text).tests()


@dataclass
class _Open:
    """A test that is being read."""

    name: str
    line: int
    settings: dict[str, Any]
    messages: list[Message] = field(default_factory=list)


class _Reader:
    """Reads one file, line by line."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._problems: list[str] = []
        self._tests: list[_Open] = []
        self._defaults: dict[str, Any] = {}
        self._quoting = False
        lines = text.removeprefix("\ufeff").splitlines()
        self._lines = iter(enumerate(lines, 1))
        if lines[:1] == ["---"]:
            next(self._lines)
            self._defaults = self._front(self._lines)

    def tests(self) -> list[Conversation]:
        """All tests, or all problems."""
        commented = False
        for number, line in self._lines:
            text = line.strip()
            if commented or text.startswith("<!--"):
                commented = "-->" not in text
                continue
            self._line(number, text)
        for test in self._tests:
            self._complete(test)
        if not self._tests and not self._problems:
            self._wrong(1, "there is no test; begin one with: ### Test: NAME")
        if self._problems:
            raise errors.InvalidInput("\n".join(self._problems))
        return [self._made(test) for test in self._tests]

    def _line(self, number: int, text: str) -> None:
        quoting, self._quoting = self._quoting, text.startswith(">")
        if heading := _HEADING.match(text):
            name = heading["name"].strip()
            if not name:
                self._wrong(number, "the test has no name; write ### Test: NAME")
            if name in [test.name for test in self._tests]:
                self._wrong(number, f"there is another test named {name!r}")
            self._tests.append(_Open(name, number, dict(self._defaults)))
        elif text.startswith(">"):
            self._said(number, text[1:].strip(), goes_on=quoting)
        elif text.startswith("#"):
            return
        elif item := _ITEM.match(text):
            self._item(number, item)
        elif text.startswith(("- ", "* ")) and self._tests:
            self._wrong(number, f"{text[:40]!r} is no check; write - CHECK: TEXT")

    def _said(self, number: int, text: str, *, goes_on: bool) -> None:
        if not self._tests:
            self._wrong(number, "a message before the first test; write ### Test: NAME above it")
            return
        messages = self._tests[-1].messages
        if text.startswith("/ ") and messages and not messages[-1].checks:
            last = messages[-1]
            messages[-1] = Message(last.text, last.line, (*last.variants, text[2:].strip()))
        elif goes_on and messages and not messages[-1].variants:
            last = messages[-1]
            messages[-1] = Message(f"{last.text}\n{text}", last.line)
        elif text.startswith("/ "):
            self._wrong(number, "a variant without a message before it")
        else:
            messages.append(Message(text, number))

    def _item(self, number: int, item: re.Match[str]) -> None:
        if not self._tests:
            return
        test = self._tests[-1]
        key = re.sub(r"\s+", " ", item["key"].strip().lower())
        value = item["value"].strip()
        if not test.messages:
            self._set(number, test.settings, key, value)
            return
        check = self._check(number, key, value, item["least"])
        if check is not None:
            last = test.messages[-1]
            test.messages[-1] = Message(last.text, last.line, last.variants, (*last.checks, check))

    # --- settings ---------------------------------------------------------------------------------

    def _front(self, lines: Iterator[tuple[int, str]]) -> dict[str, Any]:
        block: list[str] = []
        for _, line in lines:
            if line.strip() == "---":
                break
            block.append(line)
        try:
            data = yaml.safe_load("\n".join(block)) or {}
        except yaml.YAMLError as error:
            self._wrong(1, f"the settings are no YAML: {error}")
            return {}
        if not isinstance(data, dict):
            self._wrong(1, f"the settings are no entries; write key: value, not {data!r}")
            return {}
        settings: dict[str, Any] = {}
        for key, value in data.items():
            if key == "context" and isinstance(value, dict):
                value = {str(k): _word(v) for k, v in value.items()}
            elif isinstance(value, dict | list):
                self._wrong(1, f"{key!r} is one value, not {value!r}")
                continue
            self._set(1, settings, str(key), value if isinstance(value, dict) else _word(value))
        return settings

    def _set(self, number: int, settings: dict[str, Any], key: str, value: Any) -> None:
        if key not in SETTINGS:
            meant = "; a check comes after a message" if key in KINDS else ""
            self._wrong(number, f"{key!r} is no setting: {', '.join(SETTINGS)}{meant}")
        elif key != "context":
            settings[key] = str(value)
        elif isinstance(value, dict):
            settings["context"] = value
        elif pair := _PAIR.fullmatch(value):
            settings["context"] = {**settings.get("context", {}), pair["key"]: pair["value"]}
        else:
            self._wrong(number, f"{value!r} is no entry of a context; write - context: key = value")

    # --- checks -----------------------------------------------------------------------------------

    def _check(self, number: int, key: str, value: str, least: str | None) -> Check | None:
        if key not in KINDS:
            near = difflib.get_close_matches(key, KINDS, 1)
            meant = f"did you mean {near[0]!r}?" if near else f"checks are {', '.join(KINDS)}"
            self._wrong(number, f"{key!r} is no check; {meant}")
            return None
        if not value:
            self._wrong(number, f"{key!r} says nothing")
            return None
        if least is not None and (key not in _GRADED or not 0 < float(least) <= 1):
            self._wrong(number, f"({least}) goes with {' and '.join(_GRADED)}, between 0 and 1")
            return None
        kind: Kind = key
        if kind in ("calls", "never calls"):
            return self._call(kind, value, number)
        if problem := _unfit(kind, value):
            self._wrong(number, problem)
            return None
        return Check(kind, _unquoted(value), number, float(least) if least else None)

    def _call(self, kind: Kind, value: str, number: int) -> Check | None:
        """A call as Python writes it: `get_bill`, `get_bill(month="latest")`."""
        try:
            parsed = ast.parse(value.strip().strip("`").removeprefix("@"), mode="eval").body
            if isinstance(parsed, ast.Name):
                return Check(kind, parsed.id, number)
            if isinstance(parsed, ast.Call) and isinstance(parsed.func, ast.Name):
                given = {k.arg: ast.literal_eval(k.value) for k in parsed.keywords if k.arg}
                if not parsed.args and len(given) == len(parsed.keywords):
                    return Check(kind, parsed.func.id, number, arguments=given)
        except (SyntaxError, ValueError):
            pass
        self._wrong(number, f'{value!r} is no call; write tool, or tool(name="value")')
        return None

    # --- the end ----------------------------------------------------------------------------------

    def _complete(self, test: _Open) -> None:
        if not test.messages:
            self._wrong(test.line, f"{test.name!r} has no message; write > what the user says")
        elif not any(message.checks for message in test.messages):
            self._wrong(test.line, f"{test.name!r} checks nothing; write - says: TEXT, for example")

    def _made(self, test: _Open) -> Conversation:
        return Conversation(test.name, self._path, test.line, tuple(test.messages), **test.settings)

    def _wrong(self, line: int, problem: str) -> None:
        self._problems.append(f"{self._path}:{line}: {problem}")


def _unfit(kind: Kind, value: str) -> str:
    """What is wrong with the text of a check."""
    if kind in ("asks", "resolved") and value.lower() not in ("yes", "no"):
        return f"{kind!r} is yes or no, not {value!r}"
    if kind == "context" and not _PAIR.fullmatch(value):
        return f"{value!r} is no entry of a context; write - context: key = value"
    if kind == "matches":
        try:
            re.compile(_unquoted(value))
        except re.error as error:
            return f"{value!r} is no regular expression: {error}"
    return ""


def _unquoted(text: str) -> str:
    """The text without the quotes around it; a pattern without its slashes or backticks."""
    for opening, closing in (*_QUOTES, ("`", "`"), ("/", "/")):
        if len(text) > 1 and text.startswith(opening) and text.endswith(closing):
            return text[1:-1]
    return text


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
