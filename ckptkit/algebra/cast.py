"""Another dtype for the same numbers."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from ckptkit.algebra.blocks import BlockedBytes
from ckptkit.algebra.operation import Operation
from ckptkit.algebra.rounding import FLOATS, convert
from ckptkit.algebra.shapes import OfEach
from ckptkit.algebra.tensors import bytes_of, computed
from ckptkit.errors import MigrationError
from ckptkit.nodes import ByteSource, TensorNode
from ckptkit.types import DTYPES, DType

#: Stored dtype -> those that have every number of it.
_LOSSLESS = {
    "float16": ("float32", "float64"),
    "bfloat16": ("float32", "float64"),
    "float32": ("float64",),
    "bool": ("uint8", "int8", "int16", "int32", "int64", *FLOATS),
    "uint8": ("int16", "int32", "int64", *FLOATS),
    "int8": ("int16", "int32", "int64", *FLOATS),
    "int16": ("int32", "int64", "float32", "float64"),
    "int32": ("int64", "float64"),
}


@dataclass(frozen=True, slots=True, repr=False)
class Cast(OfEach):
    """Numbers get another dtype, rounded as torch's ``.to(dtype)`` rounds them.

    ``was`` is the dtype before. It is needed to go back, and only a cast that keeps every number
    (float16 to float32) has a way back. The state of an optimizer keeps the dtype that it has.
    """

    dtype: str
    was: str = ""

    def change(self, node: TensorNode, where: str) -> TensorNode:
        """Return a tensor that is cast when it is read. Raises: MigrationError."""
        wanted = DTYPES.get(self.dtype)
        if wanted is None or wanted.kind in "qx":
            raise MigrationError(where, f"dtype {self.dtype!a}", "a dtype of torch")
        if self.was and node.dtype.name != self.was:
            raise MigrationError(where, f"dtype {node.dtype.name}", self.was)
        if node.dtype.kind == "x":
            raise MigrationError(where, f"dtype {node.dtype.name}", "numbers")
        if wanted == node.dtype:
            return node
        source = bytes_of(node)
        made = None if source is None else cast_source(source, node.dtype, wanted, where)
        return computed(node, node.shape, made, wanted)

    def inverse(self) -> Operation:
        """Cast back. Raises: MigrationError for a cast that rounds, or of nobody knows what."""
        if not self.was:
            raise self.refuse_inverse("say was=... , the dtype before")
        if self.dtype not in _LOSSLESS.get(self.was, ()):
            raise self.refuse_inverse(f"{self.dtype} does not keep every number of {self.was}")
        return Cast(self.name, self.was, optional=self.optional)

    def for_optimizer(self) -> None:
        """Moments stay in the precision that they were kept in."""


def cast_source(source: ByteSource, stored: DType, wanted: DType, where: str) -> ByteSource:
    """The numbers of ``source`` in another dtype, block by block."""
    if find_spec("torch") is None:  # the slow way, which is refused here where there is none
        convert(b"", stored, wanted, where)

    def make(offset: int, nbytes: int) -> bytes:
        count = nbytes // wanted.nbytes
        data = bytearray(count * stored.nbytes)
        source.read_into(offset // wanted.nbytes * stored.nbytes, memoryview(data))
        if find_spec("torch") is None:
            return convert(data, stored, wanted, where)
        from ckptkit.torch_bridge.cast import cast_bytes

        return cast_bytes(data, stored, wanted)

    nbytes = source.nbytes // stored.nbytes * wanted.nbytes
    return BlockedBytes(nbytes, wanted.nbytes, make)
