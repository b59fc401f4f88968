"""The same elements in another order or another shape, and a part of them: names stay."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from ckptkit.algebra.operation import Action, Operation, State
from ckptkit.algebra.patterns import match
from ckptkit.algebra.tensors import Shape, bytes_of, computed, plain, view
from ckptkit.containers.strided import merged_dims
from ckptkit.errors import MigrationError
from ckptkit.nodes import Node, TensorNode

Range = tuple[int | None, int | None] | tuple[int | None, int | None, int] | None


@dataclass(frozen=True, slots=True, repr=False)
class OfEach(Operation):
    """An operation that changes tensors and keeps their names. ``name`` is a pattern."""

    name: str

    NAMED: ClassVar[tuple[str, ...]] = ("name",)

    def actions(self, state: State) -> list[Action]:
        """One for each name that the pattern matches."""
        return [Action((n,), (n,)) for n in state if match(self.name, n) is not None]

    def make(self, where: str, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        """One tensor for one tensor."""
        return (self.change(plain(nodes[0], where), where),)

    def change(self, node: TensorNode, where: str) -> TensorNode:
        """Return the changed tensor."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, repr=False)
class Transpose(OfEach):
    """Axes change places: axis i of the result is ``axes[i]`` of the tensor. A view."""

    axes: tuple[int, ...] = (1, 0)

    def change(self, node: TensorNode, where: str) -> TensorNode:
        """Return the view. Raises: MigrationError for another number of axes."""
        if sorted(self.axes) != list(range(len(node.shape))):
            raise MigrationError(
                where, f"shape {list(node.shape)}, axes {list(self.axes)}",
                "each axis of the tensor once, counted from 0",
            )  # fmt: skip
        shape = tuple(node.shape[axis] for axis in self.axes)
        return view(node, shape, tuple(node.strides[axis] for axis in self.axes), node.offset)

    def inverse(self) -> Operation:
        """The opposite permutation."""
        back = tuple(sorted(range(len(self.axes)), key=self.axes.__getitem__))
        return Transpose(self.name, back, optional=self.optional)


@dataclass(frozen=True, slots=True, repr=False)
class Reshape(OfEach):
    """The same elements, row by row, in another shape; one length may be -1: what is left.

    ``was`` is the shape before, which is needed to go back; it may have a -1 too.
    """

    shape: Shape
    was: Shape = ()

    def change(self, node: TensorNode, where: str) -> TensorNode:
        """Return a view where strides allow one. Raises: MigrationError for another count."""
        shape = _whole(self.shape, node.numel, node, where)
        if self.was and _whole(self.was, node.numel, node, where) != node.shape:
            raise MigrationError(where, f"shape {list(node.shape)}", f"{list(self.was)}")
        strides = _strides_of(node, shape)
        if strides is not None:
            return view(node, shape, strides, node.offset)
        return computed(node, shape, bytes_of(node))

    def inverse(self) -> Operation:
        """The shape that was. Raises: MigrationError if ``was`` is not given."""
        if not self.was:
            raise self.refuse_inverse("say was=... , the shape before")
        return Reshape(self.name, self.was, self.shape, optional=self.optional)


@dataclass(frozen=True, slots=True, repr=False)
class Slice(OfEach):
    """A part: ``ranges`` has (start, stop) or (start, stop, step) for each axis, None for all.

    Starts and stops count as in Python, from the end if negative; steps are positive. What is cut
    away is gone: there is no way back.
    """

    ranges: tuple[Range, ...]

    def change(self, node: TensorNode, where: str) -> TensorNode:
        """Return the view. Raises: MigrationError for more ranges than axes, or one outside."""
        if len(self.ranges) > len(node.shape):
            raise MigrationError(where, f"shape {list(node.shape)}", f"{len(self.ranges)} axes")
        shape, strides, offset = list(node.shape), list(node.strides), node.offset
        for axis, given in enumerate(self.ranges):
            if given is None:
                continue
            start, stop, step = slice(*given).indices(node.shape[axis])
            kept = range(start, stop, step)
            asked = [n for n in given[:2] if n is not None]
            if step < 1 or start > stop or any(abs(n) > node.shape[axis] for n in asked):
                raise MigrationError(
                    where, f"range {given} of axis {axis} of {list(node.shape)}",
                    "a range inside of the axis",
                )  # fmt: skip
            offset += start * strides[axis]
            shape[axis], strides[axis] = len(kept), strides[axis] * step
        return view(node, tuple(shape), tuple(strides), offset)


def _whole(shape: Shape, numel: int, node: TensorNode, where: str) -> Shape:
    """The shape with its -1 filled in. Raises: MigrationError."""
    known = math.prod(size for size in shape if size != -1)
    n_open = shape.count(-1)
    fits = known == numel if not n_open else bool(known) and numel % known == 0
    if n_open > 1 or not fits or any(size < -1 for size in shape):
        raise MigrationError(
            where, f"{numel} elements, {list(node.shape)}", f"a shape that fits {list(shape)}"
        )
    return tuple(numel // known if size == -1 else size for size in shape)


def _strides_of(node: TensorNode, shape: Shape) -> Shape | None:
    """The strides of a view of this shape, or None where the elements do not lie so.

    Axes that follow each other in memory are one run, and each run is cut by itself.
    """
    if not node.numel:
        return None
    runs = merged_dims(node.shape, node.strides)
    length, step = runs.pop() if runs else (1, 1)
    strides = []
    for size in reversed(shape):
        if length == 1 and size != 1 and runs:
            length, step = runs.pop()
        if length % size:
            return None
        strides.append(step)
        length, step = length // size, step * size
    return tuple(reversed(strides))
