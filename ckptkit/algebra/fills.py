"""Tensors that were not there before, and parts of them: new names, longer axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ckptkit.algebra.initial import Initial, source_of
from ckptkit.algebra.names import Drop
from ckptkit.algebra.operation import Action, Operation, State
from ckptkit.algebra.parts import concat
from ckptkit.algebra.patterns import literal
from ckptkit.algebra.shapes import OfEach, Slice
from ckptkit.algebra.tensors import META, Shape, computed
from ckptkit.errors import MigrationError
from ckptkit.nodes import Node, Storage, TensorNode
from ckptkit.types import DTYPES, contiguous_strides


@dataclass(frozen=True, slots=True, repr=False)
class Fill(Operation):
    """A new name, with a tensor of first values: ``value`` is a number, ``Eye()`` or ``Normal``.

    An optimizer keeps nothing for it: it begins as fresh as any new parameter.
    """

    name: str
    shape: Shape
    dtype: str = "float32"
    value: Initial = 0.0

    NAMED: ClassVar[tuple[str, ...]] = ("name",)

    def actions(self, state: State) -> list[Action]:  # noqa: ARG002
        """Exactly one, which takes nothing."""
        return [Action((), (self.name,))]

    def make(self, where: str, nodes: tuple[Node, ...]) -> tuple[Node, ...]:  # noqa: ARG002
        """The tensor, its bytes made on request."""
        dtype = DTYPES.get(self.dtype)
        if dtype is None:
            raise MigrationError(where, f"dtype {self.dtype!a}", "a dtype of torch")
        source = source_of(self.value, dtype, self.shape, where)
        return (
            TensorNode(
                dtype=dtype, shape=self.shape, strides=contiguous_strides(self.shape), offset=0,
                storage=Storage(f"fill {self.name}", source.nbytes, source),
            ),
        )  # fmt: skip

    def inverse(self) -> Operation:
        """Drop it."""
        return Drop(literal(self.name), optional=self.optional)

    def for_optimizer(self) -> None:
        """No state is better than one that was never learnt."""


@dataclass(frozen=True, slots=True, repr=False)
class Pad(OfEach):
    """Longer axes: ``amounts`` has (before, after) for each axis, None where nothing is added.

    ``value`` as in Fill. Going back cuts off what was added, whatever it has become; what an
    optimizer keeps is padded with zeros.
    """

    amounts: tuple[tuple[int, int] | None, ...]
    value: Initial = 0.0

    def change(self, node: TensorNode, where: str) -> TensorNode:
        """Return the longer tensor. Raises: MigrationError for more amounts than axes."""
        if len(self.amounts) > len(node.shape) or any(min(a or (0, 0)) < 0 for a in self.amounts):
            raise MigrationError(
                where, f"shape {list(node.shape)} and amounts {self.amounts}",
                "an axis for each, and none below 0",
            )  # fmt: skip
        for axis, amount in enumerate(self.amounts):
            if amount is not None and any(amount):
                before, after = (self._block(node, axis, length, where) for length in amount)
                node = concat([*before, node, *after], axis, where)
        return node

    def _block(self, node: TensorNode, axis: int, length: int, where: str) -> list[TensorNode]:
        if not length:
            return []
        shape = (*node.shape[:axis], length, *node.shape[axis + 1 :])
        meta = node.flavour == META
        source = None if meta else source_of(self.value, node.dtype, shape, where)
        return [computed(node, shape, source)]

    def inverse(self) -> Operation:
        """The slice that was there before."""
        ranges = tuple(
            None if a is None else (a[0] or None, -a[1] if a[1] else None) for a in self.amounts
        )
        return Slice(self.name, ranges, optional=self.optional)

    def for_optimizer(self) -> Operation:
        """What was never trained has no moments."""
        return Pad(self.name, self.amounts, optional=self.optional)
