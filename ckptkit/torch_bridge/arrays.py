"""Live numpy arrays as nodes. numpy itself is never imported: whoever made them has it."""

from __future__ import annotations

from typing import Any

from ckptkit.nodes import MapNode, Storage, TensorNode
from ckptkit.torch_bridge.odd_tensors import refused
from ckptkit.tree.numpy_atoms import loaded_numpy, numpy_dtype_text
from ckptkit.types import DTYPES, DType, contiguous_strides

_NAMES = {
    ("b", 1): "bool", ("i", 1): "int8", ("i", 2): "int16", ("i", 4): "int32", ("i", 8): "int64",
    ("u", 1): "uint8", ("u", 2): "uint16", ("u", 4): "uint32", ("u", 8): "uint64",
    ("f", 2): "float16", ("f", 4): "float32", ("f", 8): "float64", ("c", 8): "complex64",
    ("c", 16): "complex128",
}  # fmt: skip


class ArrayBytes:
    """The bytes of an array, row-major; in one piece in memory, or element by element."""

    __slots__ = ("_array", "memory", "nbytes")

    def __init__(self, array: Any) -> None:
        self._array, self.nbytes = array, array.nbytes
        self.memory: memoryview | None = None
        if array.flags.c_contiguous and array.nbytes:
            self.memory = memoryview(array.reshape(-1).view("u1"))

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill ``out`` with the bytes from ``offset`` on."""
        if self.memory is not None:
            out[:] = self.memory[offset : offset + out.nbytes]
            return
        item = self._array.itemsize
        first, skip = divmod(offset, item)
        stop = -(-(offset + out.nbytes) // item)
        block = memoryview(self._array.flat[first:stop].view("u1"))
        out[:] = block[skip : skip + out.nbytes]


class LiveArrays:
    """The arrays that were met so far: two that show the same memory alike are tied."""

    def __init__(self) -> None:
        self._storages: dict[Any, Storage] = {}

    def node(self, array: Any) -> TensorNode:
        """Return the node of an array. Raises: UnrepresentableError, without a place."""
        numpy = loaded_numpy()
        if type(array) not in (numpy.ndarray, numpy.memmap):
            kind = f"{type(array).__module__}.{type(array).__qualname__}"
            raise refused(f"an array of the class {kind}", "store it as a numpy.ndarray")
        dtype, text = _dtype_of(array.dtype)
        named = dtype is not None
        shape = tuple(array.shape) if named else (*array.shape, array.itemsize)
        node = TensorNode(
            dtype=dtype or DTYPES["uint8"],
            shape=shape,
            strides=contiguous_strides(shape),
            offset=0,
            storage=self._storage(array, big=named and bool(text)),
            flavour="ndarray",
            numpy_dtype="" if named else text,
        )
        if named and text:
            node.extra = MapNode({"numpy_dtype": text})
        return node

    def _storage(self, array: Any, *, big: bool) -> Storage:
        key = (array.ctypes.data, array.shape, array.strides, array.dtype.str)
        found = self._storages.get(key) if array.nbytes else None
        if found is None:
            order = "big" if big else "little"
            source = ArrayBytes(array.view(loaded_numpy().ndarray))
            found = Storage("", array.nbytes, source, byteorder=order)
            self._storages[key] = found
        return found


def _dtype_of(dtype: Any) -> tuple[DType | None, str]:
    """The dtype that torch has for it, else None; and its text where the dtype says too little.

    Raises: UnrepresentableError for a dtype that no text describes.
    """
    name = _NAMES.get((dtype.kind, dtype.itemsize))
    if name is not None and dtype.fields is None and not dtype.shape:
        return DTYPES[name], "" if dtype.newbyteorder("<") == dtype else dtype.str
    try:
        return None, numpy_dtype_text(dtype)
    except ValueError as exc:
        raise refused(f"an array of {exc}", "convert it with .astype()") from exc
