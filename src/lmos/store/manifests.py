"""Reading manifests: YAML or JSON into resources, with file, line and field of each error.

Documents of other API groups are passed over, so a directory may hold Deployments and Services
beside ours. A field of `spec` that nobody knows is an error: a typing mistake must not become
silence. All errors of a file are found at once.
"""

import difflib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from lmos.model import API_GROUP, KINDS, Key, Resource
from lmos.model.errors import InvalidManifest

SUFFIXES = (".yaml", ".yml", ".json")
#: Directories never looked into.
IGNORED = frozenset({".git", ".lmos", ".venv", "venv", "node_modules", "__pycache__"})
MAX_BYTES = 5 * 1024 * 1024
MAX_DEPTH = 40
MAX_NODES = 200_000

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A resource with the place it was read from; `line` counts from 1."""

    resource: Resource
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Read:
    """What was found: the resources that can be used, and everything that is wrong."""

    manifests: tuple[Manifest, ...]
    problems: tuple[InvalidManifest, ...]


def read(paths: Iterable[Path | str]) -> Read:
    """Reads files, directories (all of their manifests, below as well) and `-` for standard input.

    The same resource twice is a problem that names both places.
    """
    manifests: list[Manifest] = []
    problems: list[InvalidManifest] = []
    for path in paths:
        for found in _read_path(path):
            manifests += found.manifests
            problems += found.problems
    return Read(tuple(manifests), (*problems, *repeated(manifests)))


def read_text(text: str, file: str) -> Read:
    """Reads the documents of one text; `file` is only named in errors."""
    if len(text) > MAX_BYTES:
        problem = InvalidManifest(f"is larger than {MAX_BYTES // 1024} KiB", file=file)
        return Read((), (problem,))
    manifests: list[Manifest] = []
    problems: list[InvalidManifest] = []
    try:
        for node in yaml.compose_all(text, Loader=_Loader):
            _check_size(node, file)
            for document in _documents(node):
                _read_document(document, file, manifests, problems)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark else None
        problems.append(InvalidManifest(f"is no YAML: {error.problem}", file=file, line=line))
    except yaml.YAMLError as error:
        problems.append(InvalidManifest(f"is no YAML: {error}", file=file, line=1))
    except InvalidManifest as error:
        problems.append(error)
    return Read(tuple(manifests), tuple(problems))


def read_file(path: Path, name: str | None = None) -> Read:
    """Reads one file."""
    file = name or str(path)
    try:
        return read_text(path.read_text(encoding="utf-8"), file)
    except UnicodeDecodeError as error:
        return Read((), (InvalidManifest(f"is not UTF-8: {error.reason}", file=file, line=1),))
    except OSError as error:
        return Read((), (InvalidManifest(f"cannot be read: {error.strerror}", file=file),))


def manifest_files(directory: Path) -> Iterator[Path]:
    """The files below a directory that may hold manifests, in order."""
    for path in sorted(directory.rglob("*")):
        if is_manifest_file(path, directory) and path.is_file():
            yield path


def is_manifest_file(path: Path, directory: Path) -> bool:
    """Whether a file of the directory counts, by its name and place."""
    parts = path.relative_to(directory).parts
    hidden = any(part in IGNORED or part.startswith(".") for part in parts)
    return path.suffix in SUFFIXES and not hidden


def repeated(manifests: Iterable[Manifest]) -> Iterator[InvalidManifest]:
    """A problem for every resource that stands somewhere already."""
    first: dict[Key, Manifest] = {}
    for manifest in manifests:
        before = first.setdefault(manifest.resource.key, manifest)
        if before is not manifest:
            yield InvalidManifest(
                f"{manifest.resource.key} is also in {before.file}:{before.line}; keep one of them",
                file=manifest.file,
                line=manifest.line,
                field="metadata.name",
            )


# --- inside ---------------------------------------------------------------------------------------


def _read_path(path: Path | str) -> Iterator[Read]:
    if str(path) == "-":
        yield read_text(sys.stdin.read(), "<stdin>")
        return
    path = Path(path)
    if not path.is_dir():
        yield read_file(path)
        return
    for file in manifest_files(path):
        found = read_file(file)
        # A JSON file of a directory may be anything; only one that speaks of us counts.
        if file.suffix == ".json" and not found.manifests and API_GROUP not in file.read_text():
            continue
        yield found


def _documents(node: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    """The documents of a YAML document: itself, or the items of a `List`."""
    if not isinstance(node, yaml.MappingNode):
        return
    items = _child(node, "items")
    if _text(node, "kind").endswith("List") and isinstance(items, yaml.SequenceNode):
        for item in items.value:
            yield from _documents(item)
    else:
        yield node


def _read_document(
    node: yaml.MappingNode,
    file: str,
    manifests: list[Manifest],
    problems: list[InvalidManifest],
) -> None:
    version, kind = _text(node, "apiVersion"), _text(node, "kind")
    if version.partition("/")[0] != API_GROUP:
        return
    line = node.start_mark.line + 1
    if kind not in KINDS:
        where = _child(node, "kind") or node
        known = ", ".join(KINDS)
        problems.append(
            InvalidManifest(f"{kind!r} is no kind of {version}; there are {known}", file=file,
                            line=where.start_mark.line + 1, field="kind")
        )  # fmt: skip
        return
    data = _Loader("").construct_document(node)
    try:
        manifests.append(Manifest(KINDS[kind].model_validate(data), file, line))
    except ValidationError as error:
        problems.extend(_problems(error, node, file))


def _problems(
    error: ValidationError, node: yaml.MappingNode, file: str
) -> Iterator[InvalidManifest]:
    for found in error.errors(include_url=False):
        where = _locate(node, found["loc"])
        yield InvalidManifest(
            _say(found, _siblings(node, found["loc"])),
            file=file,
            line=where.start_mark.line + 1,
            field=_field(found["loc"]),
        )


def _say(found: Any, known: list[str]) -> str:
    """The error in words of the manifest: what is wrong and what would be right."""
    match found["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            near = difflib.get_close_matches(str(found["loc"][-1]), known, 1)
            return "is no field here" + (f"; did you mean {near[0]}?" if near else "")
        case "tuple_type":
            return f"must be a list, not {_kind(found['input'])}"
        case "string_type":
            return f"must be text, not {_kind(found['input'])}; put it in quotes"
        case "literal_error":
            return f"must be {found['ctx']['expected']}, not {found['input']!r}"
        case _:
            return (
                str(found["msg"]).replace("Input should", "must").replace("String should", "must")
            )


def _siblings(node: yaml.Node, loc: tuple[int | str, ...]) -> list[str]:
    """The fields that are known where `loc` points, by their names on the wire."""
    model: Any = KINDS[_text(node, "kind")]
    for part in loc[:-1]:
        if isinstance(part, str):
            model = _field_type(model, part)
    if model is None:
        return []
    return [f.alias or name for name, f in model.model_fields.items()]


def _field_type(model: Any, alias: str) -> Any:
    """The model behind a field, through tuples and options."""
    if model is None:
        return None
    for name, field in model.model_fields.items():
        if alias in (field.alias, name):
            found = field.annotation
            while getattr(found, "__args__", None):
                found = found.__args__[0]
            return found if hasattr(found, "model_fields") else None
    return None


def _field(loc: tuple[int | str, ...]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _locate(node: yaml.Node, loc: tuple[int | str, ...]) -> yaml.Node:
    """The node that `loc` points at, or the nearest above it; a key's own node for its line."""
    here: yaml.Node = node
    for part in loc:
        if isinstance(here, yaml.SequenceNode) and isinstance(part, int) and part < len(here.value):
            here = here.value[part]
        elif isinstance(here, yaml.MappingNode) and isinstance(part, str):
            found = _child(here, part)
            if found is None:
                return here
            here = found
        else:
            return here
    return here


def _child(node: yaml.Node, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _text(node: yaml.Node, key: str) -> str:
    child = _child(node, key)
    return str(child.value) if isinstance(child, yaml.ScalarNode) else ""


def _kind(value: Any) -> str:
    names: dict[type, str] = {dict: "a mapping", list: "a list", str: "text", bool: "true or false"}
    if value is None:
        return "nothing"
    return names.get(type(value), "a number")


def _check_size(node: yaml.Node | None, file: str) -> None:
    """Refuses documents that grow without bound when aliases are followed, or nest too deep."""
    stack, count = [(node, 1)], 0
    while stack:
        here, depth = stack.pop()
        count += 1
        if depth > MAX_DEPTH or count > MAX_NODES:
            limit = f"{MAX_DEPTH} levels" if depth > MAX_DEPTH else f"{MAX_NODES} values"
            line = here.start_mark.line + 1 if here else 1
            raise InvalidManifest(f"has more than {limit}", file=file, line=line)
        if isinstance(here, yaml.MappingNode):
            stack += [(child, depth + 1) for pair in here.value for child in pair]
        elif isinstance(here, yaml.SequenceNode):
            stack += [(child, depth + 1) for child in here.value]
