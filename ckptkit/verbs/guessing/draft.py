"""A migrator that is being written: operations that were tried, and questions that are open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ckptkit.algebra import Operation
from ckptkit.errors import MigrationError
from ckptkit.match.plan import plan_load
from ckptkit.match.values import Entry, LoadPlan
from ckptkit.nodes import Node, Storage, TensorNode
from ckptkit.types import DTYPES, contiguous_strides


class Sure(NamedTuple):
    """An operation, and what it was concluded from."""

    operation: Operation
    why: str


class Question(NamedTuple):
    """What nobody can know from names and shapes, and an operation for one answer."""

    text: str
    answer: Operation | None = None


class Draft:
    """The old names as far as they were led already, and the names that are wanted."""

    def __init__(self, stored: Sequence[Entry], wanted: Sequence[Entry]) -> None:
        storages: dict[int, Storage] = {}
        self.state: dict[str, Node] = {}
        for entry in stored:
            self.state[entry.name] = _node(entry, storages) if entry.dtype else None
        self.wanted = {entry.name: entry for entry in wanted}
        self.sure: list[Sure] = []
        self.questions: list[Question] = []
        self._asked: set[str] = set()  # names that a question is about already

    def plan(self) -> LoadPlan:
        """How what is there now would be loaded."""
        return plan_load(self.entries(), list(self.wanted.values()))

    def entries(self) -> list[Entry]:
        """What is there now."""
        ties: dict[object, int] = {}
        entries = []
        for name, node in self.state.items():
            if isinstance(node, TensorNode):
                tie = ties.setdefault(node.same_view(), len(ties))
                entries.append(Entry(name, node.dtype.name, node.shape, "tensor", tie))
            else:
                entries.append(Entry(name, "", (), "value"))
        return entries

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor that is there now."""
        node = self.state[name]
        return node.shape if isinstance(node, TensorNode) else ()

    def left(self) -> tuple[list[str], list[str]]:
        """Stored names that nobody takes, and wanted ones that nothing fills, in their order."""
        plan = self.plan()
        stored = [name for name in plan.unexpected if name not in self._asked]
        return stored, [name for name in plan.missing if name not in self._asked]

    def accept(self, operation: Operation, why: str) -> bool:
        """Take an operation up if it runs on what is there now, and can be taken back."""
        try:
            self.state = operation.apply(self.state).state
        except MigrationError:
            return False
        self.sure.append(Sure(operation, why))
        return True

    def ask(self, text: str, answer: Operation | None = None) -> None:
        """Leave a question, with an answer that would run."""
        if answer is not None:
            try:
                actions = answer.apply(self.state).actions
            except MigrationError:
                answer, actions = None, ()
            for action in actions:
                self._asked |= {*action.sources, *action.targets}
        self.questions.append(Question(text, answer))


def _node(entry: Entry, storages: dict[int, Storage]) -> TensorNode:
    storage = storages.get(entry.tie) if entry.tie >= 0 else None
    if storage is None:
        storage = Storage(entry.name, entry.nbytes, None)
        if entry.tie >= 0:
            storages[entry.tie] = storage
    return TensorNode(
        dtype=DTYPES[entry.dtype], shape=entry.shape, strides=contiguous_strides(entry.shape),
        offset=0, storage=storage, flavour="meta",
    )  # fmt: skip
