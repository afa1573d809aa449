"""libFuzzer at the ADL parser, for a bounded time: `LMOS_FUZZ_SECONDS`, 20 unless it is set."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = int(os.environ.get("LMOS_FUZZ_SECONDS", "20"))
HERE = Path(__file__).parent
WORDS = """
### UseCase: |### Case: |# Role|#### Description|#### Solution|#### Steps|#### Examples|- |----
#### Fallback Solution|#### Category: |<Version: 1>|<a>|<!a>|<a or b>|<(a and b)>|<else>|<step_2>
<regex:a+>|</>|@f()!|#a/b |[a] |```expr|```|~~~|<!--|-->|// |{{a.b}}|\\<|"
"""


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris is not installed here"
)
def test_no_input_breaks_the_parser(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for file in (HERE.parents[1] / "examples").rglob("use_cases.md"):
        (corpus / file.parent.name).write_bytes(file.read_bytes()[:1_500])
    words = tmp_path / "words"
    escaped = (
        "".join(f"\\x{byte:02x}" for byte in word.encode())
        for word in re.split(r"[|\n]", WORDS)
        if word
    )
    words.write_text("".join(f'"{word}"\n' for word in escaped))
    run = subprocess.run(
        [sys.executable, str(HERE / "adl_target.py"), f"-max_total_time={SECONDS}", "-timeout=5",
         "-max_len=1500", "-len_control=0", f"-dict={words}", 
         f"-artifact_prefix={tmp_path}/", str(corpus)],
        capture_output=True,
        text=True,
        timeout=SECONDS + 60,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    assert "Done" in run.stderr
