"""Chat models by spec string.

direct                            no language model: agents answer from their use cases alone
openai:gpt-4o-mini                provider:model, every provider of pydantic-ai
openai:NAME@http://host:1234/v1   whatever speaks OpenAI's protocol at that address
ollama:NAME                       an Ollama server on this machine, or ollama:NAME@http://host:11434
auto                              LMOS_MODEL; else what ARC's variables name (ARC_CLIENT, ARC_MODEL,
                                  ARC_AI_URL, ARC_AI_KEY); else the first provider with a key in
                                  the environment; else Ollama on this machine; else direct
"""

import json
import os
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from lmos.llm.scripted import ScriptedModel
from lmos.model import errors

if TYPE_CHECKING:
    from pydantic_ai.models import Model

#: Environment variables that hold a provider's key, with the model asked by default.
KEYS: dict[str, str] = {
    "OPENAI_API_KEY": "openai:gpt-4o-mini",
    "ANTHROPIC_API_KEY": "anthropic:claude-haiku-4-5",
    "GEMINI_API_KEY": "google:gemini-2.5-flash",
    "GOOGLE_API_KEY": "google:gemini-2.5-flash",
    "GROQ_API_KEY": "groq:llama-3.3-70b-versatile",
    "MISTRAL_API_KEY": "mistral:mistral-small-latest",
}
OLLAMA = "http://127.0.0.1:11434"
DIRECT = "direct"
#: What ARC calls its clients, and the provider that each is.
ARC_CLIENTS = {
    "openai": "openai",
    "azure": "openai",
    "ollama": "ollama",
    "gemini": "google",
    "groq": "groq",
    "bedrock": "bedrock",
}
#: Providers whose models may be at an address of one's own.
ADDRESSED = ("openai", "ollama")


@dataclass(frozen=True)
class ModelChoice:
    """The model that a spec means. `why` tells how it was chosen, for the banner."""

    name: str
    why: str

    @property
    def direct(self) -> bool:
        """Whether there is no language model."""
        return self.name == DIRECT

    @cached_property
    def model(self) -> "Model | None":
        """The model, made when first asked for; None in direct mode."""
        return None if self.direct else _made(self.name)


def resolve_model(
    spec: str | None = "auto", environment: Mapping[str, str] | None = None
) -> ModelChoice:
    """The choice that a spec means in an environment (default: that of the process)."""
    known = os.environ if environment is None else environment
    if spec not in (None, "auto"):
        return _choice(str(spec), "asked for")
    if wanted := known.get("LMOS_MODEL"):
        return _choice(wanted, "set by LMOS_MODEL") if wanted != "auto" else _found(known)
    return _found(known)


def given(model: "Model | ScriptedModel") -> ModelChoice:
    """A model object as a choice."""
    model = model.model if isinstance(model, ScriptedModel) else model
    choice = ModelChoice(model.model_name, "given as an object")
    choice.__dict__["model"] = model
    return choice


def addressed(name: str) -> tuple[str, str | None]:
    """A model's name without its address, and the address, of `NAME@http://host:port/path`. Names
    may have an @ of their own.
    """
    model, at, rest = name.partition("@http")
    return model, f"http{rest}" if at else None


def _found(known: Mapping[str, str]) -> ModelChoice:
    if known.get("ARC_MODEL"):
        return ModelChoice(_of_arc(known), "set by ARC_MODEL")
    for variable, model in KEYS.items():
        if known.get(variable):
            return ModelChoice(model, f"{variable} is set")
    host = known.get("OLLAMA_HOST") or OLLAMA
    url = host if "://" in host else f"http://{host}"
    if local := _ollama_model(url):
        name = f"ollama:{local}" if url == OLLAMA else f"ollama:{local}@{url}"
        return ModelChoice(name, f"Ollama answers at {url}")
    return ModelChoice(DIRECT, "no language model; set OPENAI_API_KEY or LMOS_MODEL for one")


def _of_arc(known: Mapping[str, str]) -> str:
    """The spec of the model that ARC's variables name. `InvalidInput` for a client that is none."""
    client = known.get("ARC_CLIENT") or "openai"
    provider = ARC_CLIENTS.get(client.removeprefix("langchain4j-"))
    if provider is None:
        raise errors.InvalidInput(
            f"ARC_CLIENT is {client!r}; it can be {', '.join(ARC_CLIENTS)}; or set LMOS_MODEL"
        )
    url = known.get("ARC_AI_URL") if provider in ADDRESSED else ""
    return f"{provider}:{known['ARC_MODEL']}" + (f"@{url}" if url else "")


def _choice(spec: str, why: str) -> ModelChoice:
    provider, _, rest = spec.partition(":")
    name, base = addressed(rest)
    known = provider in ADDRESSED if base else bool(provider)
    if spec != DIRECT and not (known and name):
        raise errors.InvalidInput(
            f"{spec!r} is no model; write direct, auto, provider:model such as "
            "openai:gpt-4o-mini, or openai:NAME@http://host:port/v1"
        )
    return ModelChoice(spec, why)


def _ollama_model(url: str) -> str | None:
    """The first model of a running Ollama that chats, or None. Asks briefly: most machines have
    none.
    """
    try:
        with urllib.request.urlopen(f"{url}/api/tags", timeout=0.3) as response:
            models: list[dict[str, Any]] = json.load(response).get("models", [])
    except (OSError, HTTPException, ValueError):
        return None
    names = (str(model["name"]) for model in models)
    return next((name for name in names if "embed" not in name), None)


def _made(spec: str) -> "Model":
    """pydantic-ai's model for a spec; importing it takes more than a second."""
    try:
        from pydantic_ai.exceptions import UserError
        from pydantic_ai.models import infer_model
    except ImportError:
        raise errors.MissingExtra("models", f"the model {spec}") from None
    provider, _, rest = spec.partition(":")
    name, base = addressed(rest)
    try:
        if provider == "ollama":
            return _compatible(name, (base or OLLAMA).rstrip("/") + "/v1", "ollama")
        key = os.environ.get("OPENAI_API_KEY") or os.environ.get("ARC_AI_KEY")
        if base:
            return _compatible(name, base, key or "none")
        if provider == "openai" and key:
            return _compatible(name, None, key)
        return infer_model(spec)
    except ImportError as error:
        raise errors.MissingExtra("models", f"the model {spec} ({error})") from error
    except (UserError, ValueError) as error:
        told = str(error).partition(" To try ")[0]  # another library's way to go on is not ours
        raise errors.InvalidInput(f"the model {spec} cannot be used: {told}") from None


def _compatible(name: str, base: str | None, key: str) -> "Model":
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    return OpenAIChatModel(name, provider=OpenAIProvider(base_url=base, api_key=key))
