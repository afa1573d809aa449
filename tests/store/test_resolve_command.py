"""`lmos resolve` as a user calls it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from lmos.cli.resolve import command

AGENT = """
apiVersion: lmos.eclipse/v1
kind: Agent
metadata: {name: billing-agent}
spec:
  supportedChannels: [web]
  providedCapabilities:
    - {name: view-bill, version: 1.1.0, description: See a bill}
"""
CHANNEL = """
apiVersion: lmos.eclipse/v1
kind: Channel
metadata:
  name: acme-web-stable
  labels: {tenant: acme, channel: web, version: 1.0.0}
spec:
  requiredCapabilities:
    - {name: view-bill, version: "%s"}
"""


def run(*args: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(command, args, input=stdin)


@pytest.fixture
def both(tmp_path: Path) -> Path:
    file = tmp_path / "all.yaml"
    file.write_text(AGENT + "---" + CHANNEL % ">=1.0.0")
    return file


def test_all_resolved(both: Path) -> None:
    result = run(str(both))
    assert result.exit_code == 0
    assert "acme/web" in result.stdout
    assert "billing-agent 1.1.0" in result.stdout


@pytest.mark.parametrize(("output", "load"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_as_data(both: Path, output: str, load: object) -> None:
    data = load(run(str(both), "-o", output).stdout)  # type: ignore[operator]
    assert data["channels"][0]["status"]["resolveStatus"] == "RESOLVED"
    routing = data["routings"][0]
    assert routing["kind"] == "ChannelRouting"
    assert routing["metadata"]["labels"]["subset"] == "stable"
    assert routing["spec"]["capabilityGroups"][0]["capabilities"][0]["providedVersion"] == "1.1.0"


def project(directory: Path, name: str, version: str) -> Path:
    (directory / "agents" / "one").mkdir(parents=True)
    (directory / "agents" / "one" / "agent.py").write_text(
        f"from lmos import Agent\none = Agent(name={name!r}, version={version!r},"
        " use_cases='use_cases.md')\n"
    )
    (directory / "agents" / "one" / "use_cases.md").write_text(
        f'### UseCase: {name}\n#### Description\nA.\n#### Solution\n"B."\n'
    )
    (directory / "web.yaml").write_text(
        (CHANNEL % ">=1").replace("acme", name).replace("view-bill", name)
    )
    return directory


def test_agents_in_the_code_of_a_directory_count(tmp_path: Path) -> None:
    here = [str(project(tmp_path / name, name, "1.4.0")) for name in ("left", "right")]
    result = run(*here)
    assert result.exit_code == 0, result.stderr
    assert all(f"{name} 1.4.0" in result.stdout for name in ("left", "right"))


def test_what_a_manifest_says_of_an_agent_in_code_wins(tmp_path: Path) -> None:
    here = project(tmp_path / "left", "left", "1.4.0")
    (here / "agent.yaml").write_text(
        AGENT.replace("billing-agent", "left").replace("view-bill", "left")
    )
    assert "left 1.1.0" in run(str(here)).stdout
    (here / "agent.yaml").write_text(AGENT.replace("billing-agent", "left").partition("  prov")[0])
    assert "left 1.4.0" in run(str(here)).stdout


def test_a_mistake_in_the_code_is_told_with_its_place(tmp_path: Path) -> None:
    here = project(tmp_path / "left", "left", "1.4.0")
    (here / "agents" / "one" / "agent.py").write_text("\ndef broken(:\n")
    ran = subprocess.run(
        [sys.executable, "-m", "lmos", "resolve", str(here)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "agents/one/agent.py:2: " in ran.stderr


def test_something_unresolved_is_3_and_says_why() -> None:
    result = run("-", stdin=AGENT + "---" + CHANNEL % ">=1.2")
    assert result.exit_code == 3
    assert "nearest: billing-agent 1.1.0" in result.stdout


def test_every_mistake_is_told_with_file_line_and_field(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text((AGENT + "---" + CHANNEL % "1").replace("version: 1.1.0", "verson: 1.1.0")
                    .replace('version: "1"', "version: 1.0"))  # fmt: skip
    result = run(str(file))
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    where = "spec.providedCapabilities[0]"
    assert f"{file}:8: {where}.verson: is no field here; did you mean version?" in lines
    assert f"{file}:8: {where}.version: is missing" in lines
    assert any("must be text, not a number; put it in quotes" in line for line in lines)
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [", "is no YAML"),
        ("apiVersion: lmos.eclipse/v1\nkind: Chanel\nmetadata: {name: x}", "no kind of"),
        ("apiVersion: lmos.eclipse/v2\nkind: Agent\nmetadata: {name: x}", "'lmos.eclipse/v1'"),
        ("&a [&b [&c [*a]]]", "more than 40 levels"),
        ("a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n"
            for i in range(7)), "more than"),
        ("[" * 60 + "]" * 60, "more than 40 levels"),
        ("", "there is no Channel"),
    ],
)  # fmt: skip
def test_whatever_is_wrong_is_2_with_a_reason(text: str, expected: str) -> None:
    result = run("-", stdin=text)
    assert result.exit_code == 2
    assert expected in result.stderr


def test_a_missing_file_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    assert "No such file" in run(str(tmp_path / "no.yaml")).stderr
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00bad")
    assert "UTF-8" in run(str(tmp_path)).stderr


def test_lists_and_repeats(tmp_path: Path) -> None:
    items = [yaml.safe_load(AGENT), yaml.safe_load(CHANNEL % "*")]
    (tmp_path / "list.json").write_text(
        json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    )
    assert run(str(tmp_path)).exit_code == 0
    (tmp_path / "more.yaml").write_text(AGENT)
    result = run(str(tmp_path))
    assert result.exit_code == 2
    assert "is also in" in result.stderr
