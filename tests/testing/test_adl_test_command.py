"""`lmos adl test`, on the example and on agents that are wrong."""

import json
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lmos.cli import lmos
from lmos.model import errors
from lmos.testing import Request, ScriptedModel

ROOT = Path(__file__).parents[2]
ACME = ROOT / "examples" / "acme"
AGENT = """from lmos import Agent
agent = Agent(name="tiny", model="direct", use_cases='''
### UseCase: hello
#### Description
Somebody says hello.
#### Solution
"Hello to you."
#### Examples
- hello
- good morning
''')
"""
TEST = "### Test: greets\n> hello\n- says: {said}\n"


def adl_test(*arguments: object) -> Result:
    return CliRunner().invoke(lmos, ["adl", "test", *map(str, arguments)])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        folder = tmp_path / "agents" / name
        folder.mkdir(parents=True)
        (folder / "agent.py").write_text(AGENT.replace("tiny", name))
        (folder / "use_cases.test.md").write_text(TEST.format(said="Hello to you."))
    return tmp_path


def test_the_example_passes() -> None:
    """The conversations of the example's agents go as their authors say."""
    result = adl_test(ACME, "-o", "json")
    data = json.loads(result.stdout)
    bad = [test for test in data["tests"] if test["verdict"] != "pass"]
    assert (result.exit_code, bad) == (0, [])
    assert data["model"] == "direct"
    assert sum(len(test["variants"]) for test in data["tests"]) >= 10


def test_text_tells_each_test_and_a_summary(project: Path) -> None:
    before = set(sys.modules)
    result = adl_test(project)
    assert result.exit_code == 0
    assert result.stdout.count("✓ 100  greets") == 2
    assert "2 passed, 0 in part, 0 failed   one, two" in result.stdout
    assert not [name for name in set(sys.modules) - before if name.split(".")[0] == "agents"]


def test_a_failure_is_told_and_is_the_exit_code(project: Path) -> None:
    file = project / "agents" / "one" / "use_cases.test.md"
    file.write_text(TEST.format(said="Goodbye"))
    result = adl_test(file)
    assert result.exit_code == 1
    assert "x says: Goodbye  (use_cases.test.md:3)" in result.stdout


def test_what_passes_in_part_fails_when_strict(project: Path) -> None:
    file = project / "agents" / "one" / "use_cases.test.md"
    file.write_text("### Test: greets\n> hello\n- means: Hello to all of you.\n")
    assert adl_test(file).exit_code == 0
    assert adl_test(file, "--strict").exit_code == 1


def test_reports_are_written_in_the_format_of_their_name(project: Path) -> None:
    for name in ("r.html", "r.json", "r.xml", "r.txt"):
        assert adl_test(project, "--to", project / "out" / name).exit_code == 0
    assert (project / "out" / "r.html").read_text().startswith("<!doctype html>")
    assert json.loads((project / "out" / "r.json").read_text())["counts"]["pass"] == 2
    assert ET.parse(project / "out" / "r.xml").getroot()[0].get("tests") == "2"
    assert "2 passed" in (project / "out" / "r.txt").read_text()
    assert adl_test(project, "--to", "report.pdf").exit_code == 2


def test_output_formats(project: Path) -> None:
    assert adl_test(project, "-o", "html").stdout.startswith("<!doctype html>")
    assert ET.fromstring(adl_test(project, "-o", "junit").stdout)[0].get("failures") == "0"


def test_models_can_be_recorded_and_replayed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recording stands in for the models: here one that answered, and one that judged."""
    file = project / "agents" / "one" / "use_cases.test.md"
    file.write_text("### Test: greets\n> hello\n- says: Good day\n- judge: It is polite.\n")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    cassette = project / "models.yaml"

    def answer(request: Request) -> str:
        judging = "You judge" in request.system
        return '{"score": 1, "reason": "It is."}' if judging else "Good day!"

    monkeypatch.setattr("lmos.testing.taping.resolve_model", lambda spec: ScriptedModel(answer))
    arguments = (file, "--model", "openai:tiny", "--judge", "openai:wise", "--cassette", cassette)
    recorded = adl_test(*arguments)
    assert recorded.exit_code == 0, recorded.output
    monkeypatch.setattr("lmos.testing.taping.resolve_model", None)
    replayed = adl_test(*arguments, "-o", "json")
    data = json.loads(replayed.stdout)
    assert (replayed.exit_code, data["model"], data["judge"]) == (0, "tiny", "wise")
    assert data["tests"][0]["variants"][0]["exchanges"][0]["checks"][1]["found"] == "1.00: It is."
    assert adl_test(file, "--cassette", cassette).exit_code == 2


def test_tests_can_be_chosen(project: Path) -> None:
    result = adl_test(project, "-k", "absent")
    assert isinstance(result.exception, errors.InvalidInput)
    assert adl_test(project, "-k", "GREET").exit_code == 0


def test_an_agent_can_be_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "elsewhere.test.md").write_text(TEST.format(said="Hello"))
    result = adl_test(project / "elsewhere.test.md")
    assert isinstance(result.exception, errors.InvalidInput)
    assert "--agent" in str(result.exception)
    monkeypatch.chdir(project)
    monkeypatch.syspath_prepend(project)
    result = adl_test("elsewhere.test.md", "--agent", "agents.two.agent:agent")
    assert result.exit_code == 0, result.output
    assert "two 1.0.0" in result.stdout


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import nothing_there", r"agent\.py:1: ModuleNotFoundError"),
        ("x = 1", "there is none"),
        (AGENT + "other = Agent(name='b', model='direct')", "there is agent, other"),
        (AGENT.replace('"Hello', 'Call @absent()\n"Hello'), "no tool 'absent'"),
    ],
)
def test_an_agent_that_cannot_be_used_is_told(project: Path, code: str, told: str) -> None:
    (project / "agents" / "one" / "agent.py").write_text(code)
    result = adl_test(project / "agents" / "one")
    assert isinstance(result.exception, errors.InvalidInput)
    assert re.search(told, str(result.exception))


def test_everything_wrong_in_all_files_is_told_before_anything_runs(project: Path) -> None:
    for name in ("one", "two"):
        (project / "agents" / name / "use_cases.test.md").write_text("### Test: x\n")
    result = adl_test(project)
    assert str(result.exception).count("has no message") == 2
    assert result.stdout == ""
