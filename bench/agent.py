"""What an agent's turn costs, beside other frameworks: time and memory, the model being nothing.

    python bench/agent.py [--only lmos,pydantic-ai] [--kinds plain,one] [--rounds 5] [--no-memory]
    python bench/agent.py --profile one            where the time of our turn goes

Each framework runs in a process of its own, in an environment of its own (`.cache/bench/NAME`, made
on first use from `bench/rivals/NAME.txt`), with a scripted model in its own model interface that
answers at once, the same instructions, the same tool and the same words. Turns are `plain`, with
`one` tool call, with `five` made together, and with five made one after the other (`five_rounds`);
the answer is awaited whole or streamed; by one caller or a hundred at once. Each turn is a new
conversation. lmos and Google ADK keep it, in memory; the others keep nothing.

`model-alone` is our scripted model asked through pydantic-ai's model layer, with no agent: what a
turn costs beyond it is the framework's overhead (`overhead_ms`, for those who use that layer).
After a warm-up the rounds of all are interleaved; figures are medians of the rounds. `ms` is clock
time for each turn, `cpu_ms` processor time, which other work on the machine changes least. Memory:
what 10,000 turns leave behind (`retained`), and the most that one turn takes while it runs
(`working`). Prints a table on standard error and JSON on standard output.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
SECONDS = 0.4
WARM_UP = 0.25
KINDS = ("plain", "one", "five", "five_rounds")
CALLERS = (1, 100)


@dataclass(frozen=True)
class Framework:
    """`module` is its side in bench/rivals; `environment` its folder below .cache/bench, none for
    the project's own.
    """

    module: str
    environment: str = ""
    package: str = ""

    def python(self) -> Path:
        """The interpreter with the framework installed, exactly as pinned."""
        if not self.environment:
            return Path(sys.executable)
        folder = ROOT / ".cache" / "bench" / self.environment
        pins = HERE / "rivals" / f"{self.environment}.txt"
        done = folder / "pins.txt"
        if not done.exists() or done.read_text() != pins.read_text():
            print(f"installing {self.environment}", file=sys.stderr)
            _install(folder, pins)
            done.write_text(pins.read_text())
        return folder / "bin" / "python"


FRAMEWORKS = {
    "lmos": Framework("lmos_agent", package="lmos"),
    "model-alone": Framework("model_alone"),
    "pydantic-ai": Framework("pydantic_ai_agent", "pydantic-ai", "pydantic-ai-slim"),
    "langgraph": Framework("langgraph_agent", "langgraph", "langgraph"),
    "google-adk": Framework("google_adk_agent", "google-adk", "google-adk"),
    "openai-agents": Framework("openai_agents_agent", "openai-agents", "openai-agents"),
}
#: Those whose model is asked through the same layer as `model-alone`.
SAME_LAYER = ("lmos", "pydantic-ai")


def _install(folder: Path, pins: Path) -> None:
    uv = shutil.which("uv") or str(ROOT / ".cache" / "uv" / "bin" / "uv")
    python = folder / "bin" / "python"
    if Path(uv).exists():
        subprocess.run(
            [uv, "venv", "-q", "--clear", "--python", sys.executable, folder], check=True
        )
        subprocess.run([uv, "pip", "sync", "-q", "--python", python, pins], check=True)
    else:
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", pins], check=True)


class Process:
    """A framework's process, which does one command at a time."""

    def __init__(self, framework: Framework) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}
        environment["PYTHONPATH"] = str(ROOT / "src")
        self._process = subprocess.Popen(
            [framework.python(), HERE / "rivals" / "side.py", framework.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.loaded = self._answer()

    def do(self, what: str, **arguments: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait(20)

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise SystemExit(f"{self._process.args} ended: {self._process.wait()}")
        return json.loads(line)


def measure(names: list[str], kinds: list[str], rounds: int) -> dict[str, Any]:
    """Milliseconds by framework and case, each the median of the rounds."""
    processes = {name: Process(FRAMEWORKS[name]) for name in names}
    cases = [(k, s, c) for k in kinds for s in (False, True) for c in CALLERS]
    found: dict[str, dict[str, list[dict[str, Any]]]] = {name: {} for name in names}
    try:
        for number in range(rounds + 1):
            for kind, streamed, callers in cases:
                for name, process in processes.items():
                    seconds = SECONDS if number else WARM_UP
                    got = process.do(
                        "time", kind=kind, streamed=streamed, callers=callers, seconds=seconds
                    )
                    if number:
                        found[name].setdefault(case(kind, streamed, callers), []).append(got)
            print(f"round {number} of {rounds}", file=sys.stderr)
        return {
            name: {
                **process.loaded,
                "turn": {key: _medians(rows) for key, rows in found[name].items()},
            }
            for name, process in processes.items()
        }
    finally:
        for process in processes.values():
            process.close()


def case(kind: str, streamed: bool, callers: int) -> str:
    return f"{kind} {'streamed' if streamed else 'whole'} x{callers}"


def _medians(rows: list[dict[str, Any]]) -> dict[str, float]:
    return {
        key: round(statistics.median(row[key] for row in rows), 3)
        for key in ("ms", "cpu_ms", "p50_ms")
    }


def add_overheads(found: dict[str, Any]) -> None:
    """What a turn takes beyond its model, and how many times as long as ours it takes."""
    floor = found.get("model-alone", {}).get("turn", {})
    ours = found.get("lmos", {}).get("turn", {})
    for name, figures in found.items():
        for key, row in figures["turn"].items():
            if name in SAME_LAYER and key in floor:
                row["overhead_ms"] = round(row["cpu_ms"] - floor[key]["cpu_ms"], 3)
            if key in ours:
                row["times_ours"] = round(row["cpu_ms"] / ours[key]["cpu_ms"], 1)


def measure_memory(name: str, turns: int) -> dict[str, Any]:
    """Memory of a fresh process that makes so many turns with one tool call."""
    process = Process(FRAMEWORKS[name])
    try:
        found = process.do("memory", kind="one", turns=turns)
        return {key: round(value, 2) for key, value in found.items()}
    finally:
        process.close()


def version(name: str) -> str:
    """The package and the version that was measured."""
    framework = FRAMEWORKS[name]
    code = f"from importlib.metadata import version; print(version({framework.package!r}))"
    done = subprocess.run([framework.python(), "-c", code], capture_output=True, text=True)
    return f"{framework.package} {done.stdout.strip()}"


# --- showing --------------------------------------------------------------------------------------


def table(found: dict[str, Any]) -> list[str]:
    """Milliseconds a turn, of the clock and (of the processor), a row for each case."""
    names = list(found)
    cases = list(found[names[0]]["turn"])
    lines = [f"{'ms a turn (cpu)':<26}" + "".join(f"{name:>18}" for name in names)]
    for key in cases:
        cells = (found[name]["turn"][key] for name in names)
        shown = [f"{c['ms']:.2f} ({c['cpu_ms']:.2f})" for c in cells]
        lines.append(f"{key:<26}" + "".join(f"{cell:>18}" for cell in shown))
    for key in ("retained_bytes_per_turn", "working_kb_per_turn", "peak_rss_mb"):
        if all("memory" in found[name] for name in names):
            cells = (found[name]["memory"][key] for name in names)
            lines.append(f"{key:<26}" + "".join(f"{c:>18.1f}" for c in cells))
    return lines


def profile(kind: str) -> None:
    """Where our turn's time goes: a thousand turns under cProfile, by time inside each function."""
    import asyncio
    import cProfile
    import pstats

    sys.path.insert(0, str(HERE / "rivals"))
    from lmos_agent import made

    turn = made(kind)

    async def turns(prefix: str, count: int) -> None:
        for number in range(count):
            await turn(f"{prefix}{number}", True)

    async def run() -> None:
        await turns("warm", 200)
        with cProfile.Profile() as profiler:
            await turns("c", 1000)
        statistics_ = pstats.Stats(profiler, stream=sys.stdout).strip_dirs()
        statistics_.sort_stats("tottime").print_stats(40)
        statistics_.sort_stats("cumtime").print_stats("lmos|loop|agent|history|running|tools", 30)

    asyncio.run(run())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(FRAMEWORKS), help="frameworks, by comma")
    parser.add_argument("--kinds", default=",".join(KINDS), help="kinds of turns, by comma")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=10_000, help="turns for the memory")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--profile", metavar="KIND", choices=KINDS)
    given = parser.parse_args()
    if given.profile:
        profile(given.profile)
        return
    names = given.only.split(",")
    found = measure(names, given.kinds.split(","), given.rounds)
    add_overheads(found)
    if not given.no_memory:
        for name in names:
            print(f"memory of {name}", file=sys.stderr)
            found[name]["memory"] = measure_memory(name, given.turns)
    versions = [version(name) for name in names if FRAMEWORKS[name].package]
    print("\n".join(table(found)), file=sys.stderr)
    context = {"cores": os.cpu_count(), "python": sys.version.split()[0], "versions": versions}
    print(json.dumps({**context, "rounds": given.rounds, "frameworks": found}, indent=2))


if __name__ == "__main__":
    main()
