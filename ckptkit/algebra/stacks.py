"""Tensors of one shape into one with an axis more, and back: experts, layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ckptkit.algebra.families import gathered
from ckptkit.algebra.operation import Action, Operation, State
from ckptkit.algebra.parts import concat
from ckptkit.algebra.patterns import Found, Group, fill, has_index, invert, match, parse
from ckptkit.algebra.tensors import axis_of, cut, plain, view
from ckptkit.errors import MigrationError
from ckptkit.nodes import Node, TensorNode

Names = str | tuple[str, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Stack(Operation):
    r"""Tensors of one shape become one, with a new axis that counts them.

    ``names``: a pattern in which ``{}`` is the place in the stack, such as
    ``r"h.(\d+).experts.{}.weight"``, or a pattern and templates as in Concat.
    """

    names: Names
    into: str
    axis: int = 0

    NAMED: ClassVar[tuple[str, ...]] = ("names", "into")

    def actions(self, state: State) -> list[Action]:
        """One for each stack. Raises: MigrationError for a stack with a gap."""
        if isinstance(self.names, str):
            return _stacks(self, self.names, self.into, state)
        return gathered(self, self.names, self.into, state)

    def make(self, where: str, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        """Concat of all of them along the new axis."""
        tensors = [plain(node, where) for node in nodes]
        axis = axis_of(self.axis, len(tensors[0].shape) + 1, where)
        return (concat([_lifted(node, axis, where) for node in tensors], axis, where),)

    def inverse(self) -> Operation:
        """Unstack under the same names."""
        if isinstance(self.names, str):
            whole, (parts,) = invert(self.names, (self.into,))
            return Unstack(whole, parts, self.axis, optional=self.optional)
        whole, names = invert(self.names[0], (self.into, *self.names[1:]))
        return Unstack(whole, names, self.axis, optional=self.optional)


@dataclass(frozen=True, slots=True, repr=False)
class Unstack(Operation):
    """One tensor becomes as many as an axis is long, each without that axis; views, as in Split.

    ``into``: a template in which ``{}`` is the place in the stack, or one template for each.
    """

    name: str
    into: Names
    axis: int = 0

    NAMED: ClassVar[tuple[str, ...]] = ("name", "into")

    def actions(self, state: State) -> list[Action]:
        """One for each name that the pattern matches."""
        found = ((name, match(self.name, name)) for name in state)
        return [
            Action((name,), self._targets(name, hit, state[name]))
            for name, hit in found
            if hit is not None
        ]

    def _targets(self, name: str, hit: Found, node: Node) -> tuple[str, ...]:
        where = f"{self}: {name}"
        if not isinstance(self.into, str):
            return tuple(fill(part, hit.groups) for part in self.into)
        if not has_index(self.into):
            raise MigrationError(where, f"{self.into!a} has no place {{}}", "one for the number")
        tensor = plain(node, where)
        count = tensor.shape[axis_of(self.axis, len(tensor.shape), where)]
        if not count:
            raise MigrationError(where, "is an empty stack", "at least one tensor in it")
        return tuple(fill(self.into, hit.groups, number) for number in range(count))

    def make(self, where: str, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        """Views of the one tensor."""
        node = plain(nodes[0], where)
        axis = axis_of(self.axis, len(node.shape), where)
        if not isinstance(self.into, str) and node.shape[axis] != len(self.into):
            raise MigrationError(
                where, f"axis {axis} of {list(node.shape)} has {node.shape[axis]} tensors",
                f"{len(self.into)}, one for each name",
            )  # fmt: skip
        return tuple(_lowered(cut(node, axis, i, i + 1), axis) for i in range(node.shape[axis]))

    def inverse(self) -> Operation:
        """Stack under the same names."""
        if isinstance(self.into, str):
            parts, (whole,) = invert(self.name, (self.into,))
            return Stack(parts, whole, self.axis, optional=self.optional)
        first, (whole, *rest) = invert(self.name, self.into)
        return Stack((first, *rest), whole, self.axis, optional=self.optional)


def _stacks(operation: Stack, pattern: str, into: str, state: State) -> list[Action]:
    if not has_index(pattern):
        raise MigrationError(str(operation), f"{pattern!a} has no place {{}}", "one for the number")
    members: dict[tuple[str, ...], dict[int, str]] = {}
    for name in state:
        hit = match(pattern, name)
        if hit is not None and hit.number is not None:
            members.setdefault(hit.groups, {})[hit.number] = name
    actions = []
    for groups, names in members.items():
        gap = next((i for i in range(len(names)) if i not in names), None)
        if gap is not None:
            raise MigrationError(
                str(operation), f"{fill(_as_template(pattern), groups, gap)} is not there, "
                f"but {names[max(names)]} is", f"numbers from 0 to {max(names)}",
            )  # fmt: skip
        sources = tuple(names[i] for i in range(len(names)))
        actions.append(Action(sources, (fill(into, groups),)))
    return actions


def _as_template(pattern: str) -> str:
    """The template that makes the very names that ``pattern`` matches."""
    numbers = "".join(f"\\{i}" for i in range(1, 10))
    n_groups = sum(isinstance(piece, Group) for piece in parse(pattern))
    return invert(pattern, (numbers[: 2 * n_groups] + "{}",))[1][0]


def _lifted(node: TensorNode, axis: int, where: str) -> TensorNode:
    if axis > len(node.shape):
        raise MigrationError(where, f"shape {list(node.shape)}", f"at least {axis} axes")
    shape = (*node.shape[:axis], 1, *node.shape[axis:])
    return view(node, shape, (*node.strides[:axis], 1, *node.strides[axis:]), node.offset)


def _lowered(node: TensorNode, axis: int) -> TensorNode:
    shape = (*node.shape[:axis], *node.shape[axis + 1 :])
    return view(node, shape, (*node.strides[:axis], *node.strides[axis + 1 :]), node.offset)
