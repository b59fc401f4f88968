"""numpy arrays and scalars as data; numpy itself is never needed."""

from __future__ import annotations

from ckptkit.containers.bytesource import MemoryBytes
from ckptkit.containers.pickle_machine import Machine
from ckptkit.containers.rebuild_builtin import raw_bytes
from ckptkit.containers.rebuild_dtype import NumpyDtype, info_of
from ckptkit.errors import TensorBoundsError
from ckptkit.nodes import Atom, GlobalName, MapNode, Node, Record, SeqNode, Storage, TensorNode
from ckptkit.types import DTYPES

RECONSTRUCT = GlobalName("numpy._core.multiarray", "_reconstruct")
_TORCH_NAMES = {
    ("b", 1): "bool", ("i", 1): "int8", ("i", 2): "int16", ("i", 4): "int32", ("i", 8): "int64",
    ("u", 1): "uint8", ("u", 2): "uint16", ("u", 4): "uint32", ("u", 8): "uint64",
    ("f", 2): "float16", ("f", 4): "float32", ("f", 8): "float64", ("c", 8): "complex64",
    ("c", 16): "complex128",
}  # fmt: skip


def rebuild_reconstruct(vm: Machine, args: list[Node]) -> Node:
    """``_reconstruct(numpy.ndarray, (0,), b'b')``: an array whose state follows in BUILD."""
    name = args[0] if len(args) == 3 else None
    if not isinstance(name, GlobalName) or (name.module, name.qualname) != ("numpy", "ndarray"):
        return NotImplemented  # a subclass (matrix, recarray): a label with its state
    record = Record(RECONSTRUCT, "call", tuple(args))
    vm.defer(record, vm.at, _finish_array)
    return record


def _finish_array(vm: Machine, record: Record, state: Node) -> Node:
    """BUILD with ``(version, shape, dtype, is_fortran, data)``; objects stay a labelled record."""
    parts = state.items if type(state) is SeqNode else []
    if len(parts) == 4:
        parts = [0, *parts]  # the version came later
    if len(parts) != 5:
        vm.refuse(
            "an array whose state is of an unknown form", "(version, shape, dtype, order, data)"
        )
    shape, info, data = parts[1], info_of(vm, parts[2]), parts[4]
    if info is None or info.has_object or info.shape:
        record.states = [state]
        return record
    raw = raw_bytes(vm, data)
    if raw is None:
        vm.refuse(f"array data of type {type(data).__name__}", "bytes")
    return _array(vm, info, _shape(vm, shape), raw, fortran=bool(parts[3]))


def _shape(vm: Machine, node: Node) -> list[int]:
    sizes = node.items if type(node) is SeqNode else [node]
    if len(sizes) > vm.limits.max_rank:
        vm.refuse(f"an array of {len(sizes)} dimensions", f"at most {vm.limits.max_rank}")
    for size in sizes:
        if type(size) is not int or not 0 <= size < 1 << 63:
            vm.refuse("an array of an impossible shape", kind=TensorBoundsError)
    return sizes


def _array(vm: Machine, info: NumpyDtype, shape: list[int], raw: bytes, *, fortran: bool) -> Node:
    numel = 1
    for size in shape:
        numel *= size
    if numel * info.nbytes != len(raw):
        vm.refuse(
            f"an array with {len(raw)} bytes of data",
            f"{numel * info.nbytes:#x}",
            TensorBoundsError,
        )
    name = _TORCH_NAMES.get((info.kind, info.nbytes))
    dtype, last = DTYPES[name or "uint8"], () if name else (info.nbytes,)
    unit = 1 if name else info.nbytes
    strides = _strides(shape, unit, fortran=fortran)
    order = "big" if name and info.order == ">" else "little"
    node = TensorNode(
        dtype=dtype, shape=(*shape, *last), strides=(*strides, *((1,) if last else ())), offset=0,
        storage=Storage("", len(raw), MemoryBytes(raw), byteorder=order), flavour="ndarray",
        numpy_dtype="" if name else info.text,
    )  # fmt: skip
    if order == "big":
        node.extra = MapNode({"numpy_dtype": info.text})
    return node


def _strides(shape: list[int], unit: int, *, fortran: bool) -> tuple[int, ...]:
    strides, step = [0] * len(shape), unit
    axes = range(len(shape)) if fortran else range(len(shape) - 1, -1, -1)
    for axis in axes:
        strides[axis] = step
        step *= max(shape[axis], 1)
    return tuple(strides)


def rebuild_frombuffer(vm: Machine, args: list[Node]) -> Node:
    """``numpy._core.numeric._frombuffer(data, dtype, shape, order)`` of protocol 5."""
    if len(args) != 4:
        return NotImplemented
    info, raw = info_of(vm, args[1]), raw_bytes(vm, args[0])
    if info is None or raw is None or info.has_object or info.shape or args[3] not in ("C", "F"):
        return NotImplemented
    return _array(vm, info, _shape(vm, args[2]), raw, fortran=args[3] == "F")


def rebuild_scalar(vm: Machine, args: list[Node]) -> Node:
    """``multiarray.scalar(dtype, bytes)``."""
    info = info_of(vm, args[0]) if len(args) == 2 else None
    raw = raw_bytes(vm, args[1]) if info is not None else None
    if info is None or raw is None or info.has_object:
        return NotImplemented
    if len(raw) != info.nbytes:
        vm.refuse(f"a numpy scalar of {len(raw)} bytes", f"{info.nbytes}", TensorBoundsError)
    return Atom("numpy.scalar", (info.text, raw))
