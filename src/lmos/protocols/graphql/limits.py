"""How much a client may ask for: the size of a document before it is run, and of a connection."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphql import DocumentNode, SelectionSetNode


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of documents and connections.

    `fields` counts with fragments spread wherever they are used. `subscriptions` are those of one
    connection at a time; `init_seconds` is how long a connection may wait with its first message.
    """

    characters: int = 20_000
    tokens: int = 1_500
    depth: int = 24
    fields: int = 400
    errors: int = 5
    subscriptions: int = 64
    init_seconds: float = 10.0


DEFAULT = Limits()


def check_size(document: "DocumentNode", limits: Limits) -> None:
    """Raises a `GraphQLError` when an operation is deeper or larger than allowed."""
    from graphql import FragmentDefinitionNode, GraphQLError, OperationDefinitionNode

    fragments = {
        node.name.value: node.selection_set
        for node in document.definitions
        if isinstance(node, FragmentDefinitionNode)
    }
    measure = _Measure(fragments, limits.depth)
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode):
            _, fields = measure.of(node.selection_set, 0)
            if fields > limits.fields:
                raise GraphQLError(f"the query has more than {limits.fields} fields", node)


class _Measure:
    """Height and number of fields of selection sets, each fragment measured once."""

    def __init__(self, fragments: "dict[str, SelectionSetNode]", limit: int) -> None:
        self._fragments, self._limit = fragments, limit
        self._known: dict[str, tuple[int, int]] = {}
        self._entered: set[str] = set()

    def of(self, selections: "SelectionSetNode | None", level: int) -> tuple[int, int]:
        """Height and fields of a selection set that is itself `level` levels down."""
        if selections is None:
            return 0, 0
        self._check(level)
        height, fields = 0, 0
        for selection in selections.selections:
            node: Any = selection
            if node.kind == "fragment_spread":
                below, count = self._fragment(node.name.value, level + 1)
            else:
                below, count = self.of(node.selection_set, level + 1)
                count += node.kind == "field"
            height, fields = max(height, below + 1), fields + count
        return height, fields

    def _fragment(self, name: str, level: int) -> tuple[int, int]:
        if name not in self._known:
            if name in self._entered or name not in self._fragments:
                return 0, 0  # a cycle or an unknown name: validation says so
            self._entered.add(name)
            self._known[name] = self.of(self._fragments[name], level)
            self._entered.discard(name)
        self._check(level + self._known[name][0])
        return self._known[name]

    def _check(self, level: int) -> None:
        from graphql import GraphQLError

        if level > self._limit:
            raise GraphQLError(f"the query is deeper than the {self._limit} levels allowed")
