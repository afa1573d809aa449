"""What a directory holds for `lmos up`: agents as Python modules, everything else as manifests.

DIR/agents/<name>/agent.py     an agent, served as the module agents.<name>.agent
DIR/agent.py                   a directory that is itself one agent
DIR/**/*.yaml                  manifests of Channels and of agents that run elsewhere
"""

import os
from dataclasses import dataclass
from pathlib import Path

from lmos.model import errors

#: Directories that never hold anything of the project.
IGNORED = frozenset({".git", ".lmos", ".venv", "venv", "node_modules", "__pycache__"})
_SOURCE_SUFFIXES = frozenset(
    {".py", ".md", ".adl", ".txt", ".json", ".yaml", ".yml", ".toml", ".sql", ".csv"}
)


@dataclass(frozen=True, slots=True)
class AgentSource:
    """An agent of the directory: the name of its folder, its module, and where it lies."""

    name: str
    module: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Project:
    """A directory that `lmos up` runs."""

    directory: Path

    @classmethod
    def at(cls, directory: Path) -> "Project":
        """The project in `directory`, which must exist."""
        if not directory.is_dir():
            raise errors.InvalidInput(
                f"there is no directory {directory}; start one with: lmos new agent NAME"
            )
        return cls(directory.resolve())

    @property
    def state(self) -> Path:
        """Where the platform and its agents keep what outlives them."""
        return self.directory / ".lmos" / "state"

    def agents(self) -> list[AgentSource]:
        """The agents there are now, by name."""
        found = [
            AgentSource(file.parent.name, f"agents.{file.parent.name}.agent", file.parent)
            for file in sorted(self.directory.glob("agents/*/agent.py"))
            if file.parent.name.isidentifier()
        ]
        if (self.directory / "agent.py").is_file():
            found.append(AgentSource(self.directory.name, "agent", self.directory))
        return found

    def misnamed(self) -> list[Path]:
        """Folders of agents whose names Python cannot import."""
        return [
            file.parent
            for file in sorted(self.directory.glob("agents/*/agent.py"))
            if not file.parent.name.isidentifier()
        ]

    def affected(self, changed: set[Path]) -> dict[str, set[Path]]:
        """The agents to load again after these files changed, each with those that concern it: an
        agent's own files concern it alone, Python and data outside every agent's folder all.
        """
        agents = self.agents()
        found: dict[str, set[Path]] = {}
        for path in changed:
            if not self.is_source(path):
                continue
            owners = [a for a in agents if a.folder != self.directory and _within(path, a.folder)]
            if not owners and path.suffix in (".yaml", ".yml", ".json", ".md", ".csv"):
                owners = [a for a in agents if path.parent == a.folder]
            elif not owners:
                owners = agents
            for owner in owners:
                found.setdefault(owner.name, set()).add(path)
        return found

    def is_source(self, path: Path | str) -> bool:
        """Whether an agent may depend on the file."""
        path = Path(path)
        return path.suffix in _SOURCE_SUFFIXES and self._seen(path)

    def may_be_folder(self, path: Path | str) -> bool:
        """Whether the path is, or may have been, a folder with files that agents depend on."""
        path = Path(path)
        return self._seen(path) and (path.is_dir() or not (path.suffix or path.exists()))

    def sources(self) -> set[Path]:
        """All files that agents may depend on."""
        found: set[Path] = set()
        for folder, folders, files in os.walk(self.directory):
            folders[:] = [name for name in folders if not _hidden(name)]
            found.update(Path(folder, name) for name in files)
        return {path for path in found if self.is_source(path)}

    def _seen(self, path: Path) -> bool:
        if not _within(path, self.directory):
            return False
        return not any(_hidden(part) for part in path.relative_to(self.directory).parts)


def _hidden(name: str) -> bool:
    return name in IGNORED or name.startswith(".")


def _within(path: Path, folder: Path) -> bool:
    return path.is_relative_to(folder)
