"""A tensor of an open checkpoint: what it is, and its bytes on request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ckptkit.containers.logical import logical_source
from ckptkit.nodes import ByteSource, Node, Path, TensorNode
from ckptkit.tree import path_text, walk


@dataclass(frozen=True, slots=True)
class LazyTensor:
    """One tensor at one place. Nothing is read until ``read`` or ``read_into``.

    ``path`` are the keys that lead to it; ``name`` is their printable form.
    """

    path: Path
    node: TensorNode
    _source: ByteSource | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The path as text, for people: keys joined by slashes, escaped."""
        return path_text(self.path)

    @property
    def dtype(self) -> str:
        """The dtype as torch names it; numpy's name for an array that torch has none for."""
        return self.node.numpy_dtype or self.node.dtype.name

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape."""
        return self.node.shape

    @property
    def nbytes(self) -> int:
        """Bytes of the contiguous tensor; 0 for a meta tensor, which has none."""
        return 0 if self.node.storage.source is None else self.node.nbytes

    def read(self) -> bytes:
        """The tensor's bytes: contiguous, row-major, little-endian.

        Raises: ContainerError if they are damaged, cut short or out of bounds.
        """
        data = bytearray(self.nbytes)
        self.read_into(memoryview(data))
        return bytes(data)

    def read_into(self, out: memoryview, offset: int = 0) -> None:
        """Fill ``out`` with the bytes from ``offset`` on. Raises: as ``read``."""
        if not len(out):
            return
        if self._source is None:  # kept: an index tensor is checked whole whenever it is made
            object.__setattr__(self, "_source", logical_source(self.node))
        assert self._source is not None
        self._source.read_into(offset, out)


def lazy_tensors(root: Node, above: Path = ()) -> Iterator[LazyTensor]:
    """Every place below ``root`` at which a tensor stands, ties included, in the file's order."""
    for path, node in walk(root):
        if isinstance(node, TensorNode):
            yield LazyTensor((*above, *path), node)
