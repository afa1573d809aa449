"""Cassettes: real model traffic, recorded once and replayed in every test after that.

    cassette = Cassette("cassettes/bill.yaml")
    agent = Agent(name="billing", model=cassette.around("openai:gpt-4o-mini"), ...)

A request is found again by its content: messages, tools and settings, without times and ids. One
that was not recorded fails, with what is different from the nearest that was. Secrets are not
written: the file holds no headers, and what looks like a secret in a text is replaced.
"""

import difflib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self

import yaml

from lmos.testing.scrubbing import Scrubber

if TYPE_CHECKING:
    from pydantic_ai.models import Model

    from lmos.testing.taping import TapedModel

Mode = Literal["once", "replay", "record"]
Data = dict[str, Any]

_VERSION = 1
_HEAD = "# Model traffic recorded for tests. Record it anew with: pytest --cassettes=record\n"


class CassetteError(AssertionError):
    """A request that was not recorded, or a recording that cannot be used."""


class Cassette:
    """Recorded traffic in a YAML file.

    `once` records when there is no file yet and replays otherwise; `replay` never asks a model;
    `record` asks for everything and writes the file anew. `secrets` are further texts that are not
    to be written, and `scrub` changes requests and responses before they are written or compared.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        mode: Mode = "once",
        secrets: Iterable[str] = (),
        scrub: Callable[[Data], Data] | None = None,
    ) -> None:
        self.path = Path(path)
        self.recording = mode == "record" or (mode == "once" and not self.path.exists())
        self._scrubber = Scrubber(secrets)
        self._scrub = scrub
        self._entries: list[Data] = [] if self.recording else self._read()
        self._played: set[int] = set()
        self._models: list[TapedModel] = []

    def around(self, model: "str | Model") -> "Model":
        """The model as it is recorded or replayed. What a spec names is made only to record, so
        that replaying needs no key.
        """
        from lmos.testing.taping import TapedModel

        taped = TapedModel(self, model)
        self._models.append(taped)
        return taped

    async def close(self) -> None:
        """Closes the connections of the models that were recorded. `async with` does it too."""
        models, self._models = self._models, []
        for model in models:
            await model.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def requests(self) -> list[Data]:
        """The recorded requests."""
        return [entry["request"] for entry in self._entries]

    def add(self, model: str, request: Data, answer: Data) -> None:
        """Records a request with its `response` or `error`, and writes the file."""
        entry = {"model": model, "request": self._clean(request), **self._clean(answer)}
        self._entries.append(entry)
        self._write()

    def take(self, model: str, request: Data) -> tuple[Data, int]:
        """What was answered to the request, and its place. The same request again gets the answers
        in the order they were recorded, and the last one for ever.
        """
        wanted = {"model": model, "request": self._clean(request)}
        places = [n for n, entry in enumerate(self._entries) if _asked(entry) == wanted]
        if not places:
            self._missing(wanted)
        fresh = [n for n in places if n not in self._played]
        place = fresh[0] if fresh else places[-1]
        self._played.add(place)
        return self._entries[place], place

    @property
    def unused(self) -> list[Data]:
        """Recorded requests that were not made again."""
        return [e["request"] for n, e in enumerate(self._entries) if n not in self._played]

    # --- inside -----------------------------------------------------------------------------------

    def _clean(self, data: Data) -> Data:
        if self._scrub is not None:
            data = self._scrub(data)
        plain: Data = json.loads(json.dumps(self._scrubber(data), default=str))
        return plain

    def _read(self) -> list[Data]:
        try:
            data = yaml.safe_load(self.path.read_text(encoding="utf-8"))
            if data["version"] != _VERSION:
                raise CassetteError(f"{self.path} has version {data['version']}, not {_VERSION}")
            entries: list[Data] = data["traffic"]
            return entries
        except OSError:
            raise CassetteError(
                f"there is no recording {self.path}; make it with --cassettes=once or "
                'Cassette(path, mode="once"), and a model that answers'
            ) from None
        except (yaml.YAMLError, KeyError, TypeError) as error:
            raise CassetteError(f"{self.path} is no recording: {error}") from None

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = _HEAD + written({"version": _VERSION, "traffic": self._entries})
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        beside.write_text(text, encoding="utf-8")
        beside.replace(self.path)

    def _missing(self, wanted: Data) -> NoReturn:
        text = written(wanted)
        recorded = [written(_asked(entry)) for entry in self._entries]
        if not recorded:
            raise CassetteError(f"{self.path} holds no traffic; the request was:\n{text}")
        nearest = max(recorded, key=lambda known: _likeness(known, text))
        changed = difflib.unified_diff(
            nearest.splitlines(), text.splitlines(), "recorded", "now", lineterm="", n=2
        )
        raise CassetteError(
            f"{self.path} has no such request. What is different from the nearest one:\n"
            + "\n".join(changed)
            + "\nIf the change is meant, record anew: pytest --cassettes=record"
        )


def _asked(entry: Data) -> Data:
    return {"model": entry["model"], "request": entry["request"]}


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one.splitlines(), other.splitlines()).ratio()


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, nothing by reference."""

    def ignore_aliases(self, data: Any) -> bool:
        """Everything is written out."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def written(data: Data) -> str:
    """The data as YAML."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text
