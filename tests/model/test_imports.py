"""Starting is fast: heavy libraries are loaded only when they are used."""

import json
import statistics
import subprocess
import sys

import pytest

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
    code = (
        "import subprocess,sys,time;t=time.perf_counter();"
        f"subprocess.run([sys.executable,*{list(arguments)!r}],capture_output=True,check=True);"
        "print(time.perf_counter()-t)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(ran.stdout)


def test_import_lmos_costs_under_60_ms_more_than_python() -> None:
    bare, ours = [], []
    for _ in range(7):  # in turn, so that a slow moment hits both
        bare.append(seconds("-c", "pass"))
        ours.append(seconds("-c", "import lmos"))
    assert statistics.median(ours) - statistics.median(bare) < 0.060
