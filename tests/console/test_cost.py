"""What the page costs where it is not used, and whether its colours can be read."""

import re
import subprocess
import sys

import pytest
from starlette.applications import Starlette

from lmos import console as room
from lmos.console.style import CSS
from lmos.controlplane import EventLog
from lmos.model import errors
from lmos.store import MemoryStore


def test_without_the_extra_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    async def respond(turn: object) -> None: ...

    monkeypatch.setitem(sys.modules, "nicegui", None)
    with pytest.raises(errors.MissingExtra, match=re.escape("pip install 'lmos[console]'")):
        room.mount(Starlette(), store=MemoryStore(), responder=respond, events=EventLog())  # type: ignore[arg-type]


def test_naming_the_room_does_not_load_the_page() -> None:
    code = "import sys, lmos.console; print('nicegui' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, by WCAG 2."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(scheme: str) -> None:
    roots = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", roots[("light", "dark").index(scheme)]))
    pairs = [(ink, "card") for ink in ("text", "soft", "accent", "good", "bad", "warn")]
    pairs += [("soft", "bg"), ("text", "accent-soft"), ("accent", "accent-soft")]
    pairs += [("on-accent", "accent")]
    weak = [pair for pair in pairs if contrast(colours[pair[0]], colours[pair[1]]) < 4.5]
    assert weak == []
