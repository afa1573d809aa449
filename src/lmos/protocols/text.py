"""Data as text within a message: arguments, payloads, schemas."""

import json
from typing import Any

import orjson


def json_text(value: Any) -> str:
    """The value as JSON, whatever a model or a tool put into it: what JSON has no form for becomes
    text, and whole numbers may have any size.
    """
    try:
        return orjson.dumps(value, default=str).decode()
    except TypeError:
        return json.dumps(value, default=str, separators=(",", ":"))
