"""Taking secrets out of what is written to a file: known values, and what looks like one."""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

#: What a secret is called in the environment, and as a key of data.
_VARIABLE = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)(_?\d+)?$", re.IGNORECASE)
_KEY = re.compile(
    r"(?:api[_-]?key|authorization|password|passwd|pwd|secret|(?:access|refresh|id|auth)?[_-]?token"
    r"|client[_-]?secret|private[_-]?key|credentials?)",
    re.IGNORECASE,
)
_SHAPES = tuple(
    re.compile(pattern)
    for pattern in (
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----",
        r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*",
        r"\b(?:sk|pk|rk)[-_][\w-]{16,}",
        r"\bAKIA[0-9A-Z]{16}\b",
        r"\bAIza[\w-]{30,}",
        r"\bgh[pousr]_\w{30,}",
        r"\bxox[abprs]-[\w-]{10,}",
        r"(?<=[Bb]earer )[\w.~+/=-]{8,}",
    )
)
_SHORTEST = 8
SECRET = "<secret>"


class Scrubber:
    """Replaces secrets in data by what they are called: values of environment variables named like
    one, `secrets` given by hand, values under keys such as `password`, and tokens by their shape.
    """

    def __init__(
        self, secrets: Iterable[str] = (), environment: Mapping[str, str] | None = None
    ) -> None:
        known = {value: SECRET for value in secrets if value}
        for name, value in (os.environ if environment is None else environment).items():
            if _VARIABLE.search(name) and len(value) >= _SHORTEST:
                known.setdefault(value, f"<{name}>")
        self._known = sorted(known.items(), key=lambda item: -len(item[0]))

    def __call__(self, data: Any) -> Any:
        """The data without secrets."""
        if isinstance(data, str):
            return self._text(data)
        if isinstance(data, Mapping):
            return {
                key: SECRET
                if isinstance(value, str) and value and _KEY.fullmatch(str(key))
                else self(value)
                for key, value in data.items()
            }
        if isinstance(data, list | tuple):
            return [self(value) for value in data]
        return data

    def _text(self, text: str) -> str:
        for value, name in self._known:
            text = text.replace(value, name)
        for shape in _SHAPES:
            text = shape.sub(SECRET, text)
        return text
