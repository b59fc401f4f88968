"""One tensor into several along an axis, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import ClassVar

from ckptkit.algebra.families import gathered, scattered
from ckptkit.algebra.joined import joined
from ckptkit.algebra.operation import Action, Operation, State
from ckptkit.algebra.patterns import invert
from ckptkit.algebra.tensors import axis_of, bytes_of, computed, cut, plain, sizes_of
from ckptkit.errors import MigrationError
from ckptkit.nodes import ByteSource, Node, TensorNode


@dataclass(frozen=True, slots=True, repr=False)
class Split(Operation):
    """One tensor becomes several, cut along an axis: views of it, no byte is moved.

    ``name`` is a pattern, ``into`` its templates. ``sizes`` are the parts' shares of the axis, as
    in Concat; empty means equal parts.
    """

    name: str
    into: tuple[str, ...]
    axis: int = 0
    sizes: tuple[int, ...] = ()

    NAMED: ClassVar[tuple[str, ...]] = ("name", "into")

    def actions(self, state: State) -> list[Action]:
        """One for each name that the pattern matches."""
        return scattered(self.name, self.into, state)

    def make(self, where: str, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        """Views of the one tensor."""
        node = plain(nodes[0], where)
        axis = axis_of(self.axis, len(node.shape), where)
        sizes = sizes_of(node.shape[axis], self.sizes, len(self.into), where)
        return tuple(
            cut(node, axis, start, stop) for start, stop in pairwise([0, *accumulate(sizes)])
        )

    def inverse(self) -> Operation:
        """Concat of the parts, in the same proportions."""
        first, (whole, *rest) = invert(self.name, self.into)
        return Concat((first, *rest), whole, self.axis, self.sizes, optional=self.optional)


@dataclass(frozen=True, slots=True, repr=False)
class Concat(Operation):
    r"""Several tensors become one, end to end along an axis.

    ``names``: a pattern, and the templates of what is joined to it, such as
    ``(r"h.(\d+).q.weight", r"h.\1.k.weight")``; ``into`` is a template too. ``sizes`` are the
    parts' shares of the axis: their lengths, or their proportions; empty means equal parts.
    """

    names: tuple[str, ...]
    into: str
    axis: int = 0
    sizes: tuple[int, ...] = ()

    NAMED: ClassVar[tuple[str, ...]] = ("names", "into")

    def actions(self, state: State) -> list[Action]:
        """One for each name that the pattern matches, with those that belong to it."""
        return gathered(self, self.names, self.into, state)

    def make(self, where: str, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        """One tensor whose bytes are read from all of them, on request."""
        tensors = [plain(node, where) for node in nodes]
        axis = axis_of(self.axis, len(tensors[0].shape), where)
        lengths = tuple(node.shape[axis] for node in tensors if len(node.shape) > axis)
        whole = concat(tensors, axis, where)
        if not self.one_way:
            sizes = sizes_of(whole.shape[axis], self.sizes, len(tensors), where)
            if sizes != lengths:
                raise MigrationError(
                    where, f"parts of {lengths} along axis {axis}", f"parts of {sizes}",
                    f"say sizes={lengths}, or one_way=True if nobody need go back",
                )  # fmt: skip
        return (whole,)

    def inverse(self) -> Operation:
        """Split into the parts, in the same proportions."""
        whole, parts = invert(self.names[0], (self.into, *self.names[1:]))
        return Split(whole, parts, self.axis, self.sizes, optional=self.optional)


def concat(tensors: list[TensorNode], axis: int, where: str) -> TensorNode:
    """The tensors end to end. Raises: MigrationError if a dtype or another axis differs."""
    first = tensors[0]
    for node in tensors[1:]:
        alike = [(*n.shape[:axis], *n.shape[axis + 1 :]) for n in (first, node)]
        if len(node.shape) != len(first.shape) or alike[0] != alike[1]:
            raise MigrationError(
                where, f"shapes {list(first.shape)} and {list(node.shape)}",
                f"the same but for axis {axis}",
            )  # fmt: skip
        if node.dtype != first.dtype:
            raise MigrationError(
                where, f"dtypes {first.dtype.name} and {node.dtype.name}", "one dtype",
                "cast one of them first",
            )  # fmt: skip
    length = sum(node.shape[axis] for node in tensors)
    shape = (*first.shape[:axis], length, *first.shape[axis + 1 :])
    return computed(first, shape, _joined(tensors, axis, where))


def _joined(tensors: list[TensorNode], axis: int, where: str) -> ByteSource | None:
    sources = [bytes_of(node) for node in tensors]
    known = [source for source in sources if source is not None]
    if not known:
        return None
    if len(known) != len(sources):
        raise MigrationError(where, "some are meta tensors, which have no bytes", "all or none")
    return joined(known, math.prod(tensors[0].shape[:axis]))
