"""Starting is fast: heavy libraries are loaded only when they are used."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHANNEL = Path(__file__).parents[2] / "examples" / "acme" / "channels" / "acme-web.yaml"
NOWHERE = "http://127.0.0.1:9"  # nothing answers there, so that the start is all there is

HEAVY = (
    "numpy",
    "onnxruntime",
    "tokenizers",
    "aiohttp",
    "a2a",
    "ag_ui",
    "graphql",
    "pydantic_ai",
    "nicegui",
    "uvicorn",
)


def loaded(statement: str) -> set[str]:
    code = f"{statement}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(ran.stdout.splitlines()[-1]))


def test_import_lmos_loads_nothing_heavy_and_not_even_pydantic() -> None:
    modules = loaded("import lmos")
    assert not modules & {*HEAVY, "pydantic", "lmos.model"}


def test_the_model_loads_nothing_heavy() -> None:
    assert not loaded("import lmos.model") & set(HEAVY)


@pytest.mark.parametrize("command", ["version", "resolve", "get", "ask", "explain"])
def test_commands_without_a_model_load_nothing_heavy(command: str) -> None:
    statement = f"import lmos.cli.{command}"
    assert not loaded(statement) & {*HEAVY, "pydantic_ai"}


def seconds(*arguments: str) -> float:
    """What a start of Python costs: seconds of the processor, which others' work does not change;
    alone on the machine they are the seconds on the clock, as nothing here waits.
    """
    code = (
        "import resource,subprocess,sys;"
        f"ran=subprocess.run([sys.executable,*{list(arguments)!r}],capture_output=True);"
        "assert b'Traceback' not in ran.stderr,ran.stderr;"
        "used=resource.getrusage(resource.RUSAGE_CHILDREN);print(used.ru_utime+used.ru_stime)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(ran.stdout)


def test_import_lmos_costs_under_60_ms_more_than_python() -> None:
    bare, ours = [], []
    for _ in range(7):  # in turn; the quickest is what it costs
        bare.append(seconds("-c", "pass"))
        ours.append(seconds("-c", "import lmos"))
    assert min(ours) - min(bare) < 0.060


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["version"],
        ["up", "--help"],
        ["chat", "--help"],
        ["serve", "--help"],
        ["route", "--help"],
        ["resolve", str(CHANNEL)],
        ["get", "agents", "--url", NOWHERE],
        ["ask", "hello", "--url", NOWHERE],
        ["explain", "hello", "--url", NOWHERE],
    ],
    ids=" ".join,
)
def test_commands_without_a_model_start_in_under_300_ms(command: list[str]) -> None:
    assert min(seconds("-m", "lmos", *command) for _ in range(5)) < 0.300
