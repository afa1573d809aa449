"""The settings of the original router, read into what they are here.

They come as a Spring configuration file, in which `${NAME:default}` stands for a variable of the
environment. What has no counterpart is told rather than dropped.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lmos.model import errors

_VARIABLE = re.compile(r"\$\{([\w.-]+)(?::([^}]*))?\}")
_PREFIX = "lmos.router."
#: Classifiers of the original, the most able first, and the router that each is here.
_ROUTERS = {"hybrid-fast-track": "cascade", "llm": "llm", "vector": "vector"}
_PROVIDERS = {"openai": "openai", "anthropic": "anthropic", "gemini": "google", "ollama": "ollama"}
#: Settings without a counterpart, and why.
_NOTES = {
    "embedding.ranking.": "sums of scores are no thresholds here; `lmos router fit` finds them",
    "embedding.store.": "vectors are kept in the process and a file, without a server",
    "embedding.rephraser.": "what was said before is weighed only where a message continues it",
    "llm.system-prompt": "the task is fixed, so that agents' descriptions stay data",
    "llm.max-tokens": "an answer is held to a schema and short",
    "llm.temperature": "it is 0 where the model lets it be set",
    "llm.log-requests-and-responses": "spans tell of requests; see the page on tracing",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the original's settings are here: the router, the specs of its language model and of
    its embedder (empty where none was set), and why others are not taken over, by their names.
    """

    router: str
    model: str
    embedder: str
    left: Mapping[str, str]


def read_settings(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of a Spring configuration file (YAML), with the environment that it would have
    (default: that of the process). `InvalidInput` when it has none of the router's, or sets what
    cannot be.
    """
    known = os.environ if environment is None else environment
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise errors.InvalidInput(f"{path} cannot be read: {error}") from None
    flat = {k: v for d in documents if isinstance(d, dict) for k, v in _flat(d)}
    found = {
        _kebab(name.removeprefix(_PREFIX)): _filled(value, known)
        for name, value in flat.items()
        if name.startswith(_PREFIX)
    }
    if not found:
        raise errors.InvalidInput(f"{path} has no settings below {_PREFIX.rstrip('.')}")
    return Settings(_router(found), _model(found), _embedder(found), _left(found))


def _flat(data: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its dotted name."""
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{within}{key}.")
        else:
            yield within + str(key), value


def _kebab(name: str) -> str:
    """The name as the settings are documented; both forms are read."""
    return re.sub(r"(?<=[a-z])([A-Z])", lambda found: f"-{found[1].lower()}", name)


def _filled(value: Any, known: Mapping[str, str]) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = "" if value is None else str(value)
    return _VARIABLE.sub(lambda v: known.get(v[1], v[2] or ""), text).strip()


def _router(found: Mapping[str, str]) -> str:
    on = [kind for kind in _ROUTERS if found.get(f"classifier.{kind}.enabled") == "true"]
    return _ROUTERS[on[0]] if on else "cascade"


def _model(found: Mapping[str, str]) -> str:
    provider, model = found.get("llm.provider", ""), found.get("llm.model", "")
    if not provider or not model:
        return ""
    if provider.startswith("azure_openai"):
        return f"azure:{model}"
    base = found.get("llm.base-url", "")
    if provider == "other" and not base:
        raise errors.InvalidInput("llm.provider is other, which needs llm.base-url")
    kind = "openai" if provider == "other" else _PROVIDERS.get(provider)
    if kind is None:
        known = ", ".join((*_PROVIDERS, "azure_openai", "other"))
        raise errors.InvalidInput(f"llm.provider is {provider!r}; it can be {known}")
    # the original's provider openai ignores the base URL
    return (
        f"{kind}:{model}@{base}" if base and provider in ("ollama", "other") else f"{kind}:{model}"
    )


def _embedder(found: Mapping[str, str]) -> str:
    provider = found.get("embedding.model.provider", "")
    model, base = (found.get(f"embedding.model.{key}", "") for key in ("model-name", "base-url"))
    if provider == "openai" and model:
        return f"openai:{model}@{base}" if base else f"openai:{model}"
    if provider == "local_onnx":
        return f"onnx:{Path(found.get('embedding.model.model-path', '')).parent}"
    return ""


def _left(found: Mapping[str, str]) -> dict[str, str]:
    return {
        name: why
        for name, value in sorted(found.items())
        for prefix, why in _NOTES.items()
        if name.startswith(prefix) and value
    }
