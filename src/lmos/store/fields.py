"""Who owns which field: the merge behind server-side apply, as functions over plain data.

A resource's applied form is a tree of mappings; its leaves (anything that is no mapping, lists
included) are owned. An owner that applies a tree owns exactly the leaves of that tree.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from lmos.model import errors

Path = tuple[str, ...]
Owned = Mapping[str, Mapping[Path, Any]]


def leaves(tree: Mapping[str, Any], above: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every leaf with its path; an empty mapping is a leaf."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*above, key))
        else:
            yield (*above, key), value


def applied(owned: Owned, owner: str, tree: Mapping[str, Any], *, force: bool) -> Owned:
    """The ownership after `owner` applies the tree. A leaf that another owner holds with another
    value is a `Conflict`, or taken from it with `force`.
    """
    mine = dict(leaves(tree))
    others = {name: dict(fields) for name, fields in owned.items() if name != owner}
    for path, value in mine.items():
        for name, fields in others.items():
            for held in [h for h in fields if _clash(h, fields[h], path, value)]:
                if not force:
                    raise errors.Conflict(
                        f"{'.'.join(path)} is owned by {name!r}; {owner!r} cannot set it "
                        "unless it forces",
                        field=".".join(path),
                        owner=name,
                    )
                del fields[held]
    return {**{name: fields for name, fields in others.items() if fields}, owner: mine}


def merged(owned: Owned) -> dict[str, Any]:
    """The tree that all owners together make."""
    tree: dict[str, Any] = {}
    for fields in owned.values():
        for path, value in fields.items():
            node = tree
            for key in path[:-1]:
                node = node.setdefault(key, {})
            if not (value == {} and isinstance(node.get(path[-1]), dict)):
                node[path[-1]] = value
    return tree


def _clash(a: Path, held: Any, b: Path, given: Any) -> bool:
    """Whether two leaves cannot both be in one tree."""
    if a == b:
        return bool(held != given)
    if a == b[: len(a)]:
        return bool(held != {})  # an empty mapping has room for what lies below it
    return b == a[: len(b)] and bool(given != {})
