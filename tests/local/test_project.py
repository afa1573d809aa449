"""What `lmos up` finds in a directory, and what a change of files concerns."""

from pathlib import Path

import pytest

from lmos.local.project import Project
from lmos.model import errors


@pytest.fixture
def project(tmp_path: Path) -> Project:
    for name in ("billing", "orders"):
        (tmp_path / "agents" / name).mkdir(parents=True)
        (tmp_path / "agents" / name / "agent.py").write_text("")
    return Project.at(tmp_path)


def test_agents_are_found_by_their_folder(project: Project) -> None:
    assert [(a.name, a.module) for a in project.agents()] == [
        ("billing", "agents.billing.agent"),
        ("orders", "agents.orders.agent"),
    ]


def test_a_directory_can_itself_be_an_agent(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text("")
    assert [a.module for a in Project.at(tmp_path).agents()] == ["agent"]


def test_a_folder_python_cannot_import_is_told_apart(project: Project) -> None:
    bad = project.directory / "agents" / "store-finder"
    bad.mkdir()
    (bad / "agent.py").write_text("")
    assert project.misnamed() == [bad]
    assert "store-finder" not in [a.name for a in project.agents()]


def test_a_missing_directory_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidInput, match="lmos new agent"):
        Project.at(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("agents/billing/agent.py", {"billing"}),
        ("agents/billing/use_cases.md", {"billing"}),
        ("agents/billing/sub/extra.md", {"billing"}),
        ("shared.py", {"billing", "orders"}),
        ("data/customers.sql", {"billing", "orders"}),
        ("channels/web.yaml", set()),
        ("README.md", set()),
        ("agents/billing/__pycache__/agent.cpython-311.pyc", set()),
        (".lmos/state/billing.db", set()),
        ("agents/billing/.agent.py.swp", set()),
    ],
)
def test_a_change_concerns_only_those_who_may_depend_on_it(
    project: Project, path: str, names: set[str]
) -> None:
    assert set(project.affected({project.directory / path})) == names
