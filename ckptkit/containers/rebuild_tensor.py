"""The tensor rebuilders of ``torch._utils`` that make one strided tensor, as data."""

from __future__ import annotations

from ckptkit.containers.geometry import check_view
from ckptkit.containers.pickle_machine import Machine
from ckptkit.containers.storage_node import StorageNode
from ckptkit.errors import TensorBoundsError
from ckptkit.nodes import Atom, GlobalName, MapNode, Node, Record, SeqNode, Storage, TensorNode
from ckptkit.types import DTYPES, DType

__all__ = ["StorageNode"]  # containers look for it here

_PACKED = {"quint4x2": 2, "quint2x4": 4}  # elements in a byte


def sizes_of(vm: Machine, node: Node) -> list[Node]:
    """The items of a shape or of strides."""
    if type(node) is SeqNode and node.kind in ("tuple", "torch.Size", "list"):
        return node.items
    return vm.refuse(f"a shape that is a {type(node).__name__}", "a tuple", TensorBoundsError)


def dtype_of(node: Node) -> DType | None:
    """The dtype that an atom names, or None."""
    if type(node) is Atom and node.kind == "torch.dtype":
        return DTYPES.get(node.args[0])
    return None


def make_view(
    vm: Machine, source: StorageNode, place: list[Node], dtype: DType | None = None
) -> TensorNode:
    """A tensor at ``place`` (offset, size, stride), once it is certain that it fits."""
    offset, size, stride = place
    held = source.held
    dtype = dtype or held.dtype or DTYPES["uint8"]
    shape, strides = sizes_of(vm, size), sizes_of(vm, stride)
    check_view(dtype, offset, shape, strides, held.nbytes, vm, vm.limits)
    if held.start:
        if held.start % dtype.nbytes:
            vm.refuse("a storage view between two elements", kind=TensorBoundsError)
        offset += held.start // dtype.nbytes
    held.n_used += 1
    return TensorNode(
        dtype=dtype, shape=tuple(shape), strides=tuple(strides), offset=offset,
        storage=held.storage,
    )  # fmt: skip


def _storage_of(vm: Machine, node: Node) -> StorageNode | None:
    """The storage argument; None where nobody resolves persistent ids."""
    if type(node) is StorageNode:
        return node
    if vm.persistent is None and isinstance(node, Record) and node.how == "persistent":
        return None
    return vm.refuse(f"a tensor whose storage is a {type(node).__name__}", "a storage")


def _flag(vm: Machine, value: Node) -> bool:
    if type(value) is not bool:
        vm.refuse(f"requires_grad of type {type(value).__name__}", "a bool")
    return bool(value)


def put_extra(tensor: TensorNode, name: str, value: Node) -> None:
    """Keep what else the file says of a tensor; an empty collection says nothing."""
    if value is None or (isinstance(value, (MapNode, SeqNode)) and not len(value)):
        return
    if tensor.extra is None:
        tensor.extra = MapNode()
    tensor.extra[name] = value


def _put_metadata(vm: Machine, tensor: TensorNode, metadata: Node) -> None:
    if metadata is None:
        return
    if type(metadata) is not MapNode:
        vm.refuse(f"tensor metadata of type {type(metadata).__name__}", "a mapping")
    rest = MapNode()
    for key, value in metadata.items():
        if key in ("conj", "neg") and type(value) is bool:
            if key == "conj" and value and tensor.dtype.kind != "c":
                vm.refuse(f"a conjugated {tensor.dtype.name} tensor", "a complex dtype")
            setattr(tensor, key, value)
        else:
            vm.set_pair(rest, key, value)
    put_extra(tensor, "metadata", rest)


def rebuild_tensor(vm: Machine, args: list[Node]) -> Node:
    """``_rebuild_tensor(storage, offset, size, stride)``."""
    if len(args) != 4:
        vm.refuse(f"_rebuild_tensor with {len(args)} arguments", "4")
    source = _storage_of(vm, args[0])
    return NotImplemented if source is None else make_view(vm, source, args[1:4])


def rebuild_tensor_v2(vm: Machine, args: list[Node]) -> Node:
    """``_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata])``."""
    n_args = len(args)
    if n_args not in (6, 7):
        vm.refuse(f"_rebuild_tensor_v2 with {n_args} arguments", "6 or 7")
    source = args[0]
    if type(source) is not StorageNode:
        source = _storage_of(vm, source)
        if source is None:
            return NotImplemented
    tensor = make_view(vm, source, args[1:4])
    if args[4] is not False:
        tensor.requires_grad = _flag(vm, args[4])
    if type(args[5]) is not MapNode or len(args[5]):
        put_extra(tensor, "backward_hooks", args[5])
    if n_args == 7:
        _put_metadata(vm, tensor, args[6])
    return tensor


def rebuild_tensor_v3(vm: Machine, args: list[Node]) -> Node:
    """``_rebuild_tensor_v3``: as v2, with a dtype over an untyped storage."""
    if len(args) not in (7, 8):
        vm.refuse(f"_rebuild_tensor_v3 with {len(args)} arguments", "7 or 8")
    source, dtype = _storage_of(vm, args[0]), dtype_of(args[6])
    if dtype is None and not isinstance(args[6], (Atom, GlobalName)):
        vm.refuse(f"a dtype of type {type(args[6]).__name__}", "a torch dtype")
    if source is None or dtype is None:
        return NotImplemented  # a dtype of tomorrow: the storage stays readable as bytes
    tensor = make_view(vm, source, args[1:4], dtype)
    tensor.requires_grad = _flag(vm, args[4])
    put_extra(tensor, "backward_hooks", args[5])
    _put_metadata(vm, tensor, args[7] if len(args) == 8 else None)
    return tensor


def copy_of(tensor: TensorNode) -> TensorNode:
    """A second view of the same bytes, to be changed."""
    extra = None if tensor.extra is None else MapNode(tensor.extra.items())
    return TensorNode(
        dtype=tensor.dtype, shape=tensor.shape, strides=tensor.strides, offset=tensor.offset,
        storage=tensor.storage, flavour=tensor.flavour, requires_grad=tensor.requires_grad,
        conj=tensor.conj, neg=tensor.neg, numpy_dtype=tensor.numpy_dtype, rule=tensor.rule,
        extra=extra,
    )  # fmt: skip


def rebuild_parameter(vm: Machine, args: list[Node]) -> Node:
    """``_rebuild_parameter(data, requires_grad, hooks)`` and ``..._with_state(..., state)``."""
    if len(args) not in (3, 4):
        vm.refuse(f"_rebuild_parameter with {len(args)} arguments", "3 or 4")
    data = args[0]
    if isinstance(data, Record):
        return NotImplemented  # a sparse or wrapped tensor: the label holds it
    if type(data) is not TensorNode or data.flavour == "ndarray":
        vm.refuse(f"a Parameter around a {type(data).__name__}", "a tensor")
    parameter = copy_of(data)
    if data.flavour == "tensor":
        parameter.flavour = "parameter"
    parameter.requires_grad = _flag(vm, args[1])
    put_extra(parameter, "backward_hooks", args[2])
    put_extra(parameter, "state", args[3] if len(args) == 4 else None)
    return parameter


def rebuild_meta(vm: Machine, args: list[Node]) -> Node:
    """``_rebuild_meta_tensor_no_storage(dtype, size, stride, requires_grad)``."""
    if len(args) != 4:
        vm.refuse(f"a meta tensor with {len(args)} arguments", "4")
    dtype = dtype_of(args[0])
    if dtype is None:
        return NotImplemented
    shape, strides = sizes_of(vm, args[1]), sizes_of(vm, args[2])
    numel = check_view(dtype, 0, shape, strides, None, vm, vm.limits)
    if numel * dtype.nbytes >= 1 << 63:
        vm.refuse("a meta tensor larger than any address", kind=TensorBoundsError)
    return TensorNode(
        dtype=dtype, shape=tuple(shape), strides=tuple(strides), offset=0,
        storage=Storage("", 0, None, "meta"), flavour="meta", requires_grad=_flag(vm, args[3]),
    )  # fmt: skip


def rebuild_quantized(vm: Machine, args: list[Node]) -> Node:
    """``_rebuild_qtensor(storage, offset, size, stride, quantizer, requires_grad, hooks)``."""
    if len(args) != 7:
        vm.refuse(f"_rebuild_qtensor with {len(args)} arguments", "7")
    source = _storage_of(vm, args[0])
    if source is None:
        return NotImplemented
    if source.held.dtype is None or source.held.dtype.kind != "q":
        vm.refuse("a quantized tensor over a storage that is not", "a quantized storage")
    _check_quantizer(vm, args[4], sizes_of(vm, args[2]))
    if source.held.dtype.name in _PACKED:
        return _packed(vm, source, args)
    tensor = make_view(vm, source, args[1:4])
    tensor.requires_grad = _flag(vm, args[5])
    put_extra(tensor, "quantizer", args[4])
    put_extra(tensor, "backward_hooks", args[6])
    return tensor


def _packed(vm: Machine, source: StorageNode, args: list[Node]) -> Node:
    """Several elements a byte: checked as such, and kept as a label over its storage."""
    held = source.held
    assert held.dtype is not None
    fold = _PACKED[held.dtype.name]
    check_view(
        held.dtype, args[1], sizes_of(vm, args[2]), sizes_of(vm, args[3]),
        held.nbytes * fold, vm, vm.limits,
    )  # fmt: skip
    return NotImplemented


def _check_quantizer(vm: Machine, quantizer: Node, shape: list[Node]) -> None:
    parts = quantizer.items if type(quantizer) is SeqNode else []
    scheme = parts[0] if parts else None
    name = scheme.args[0] if type(scheme) is Atom and scheme.kind == "torch.qscheme" else ""
    if name == "per_tensor_affine" and len(parts) == 3:
        if type(parts[1]) is not float or type(parts[2]) is not int:
            vm.refuse("a quantizer whose scale and zero point are no numbers")
    elif name.startswith("per_channel_affine") and len(parts) == 4:
        axis = parts[3]
        if type(axis) is not int or not 0 <= axis < len(shape):
            vm.refuse("a quantizer with an axis that the tensor lacks", kind=TensorBoundsError)
        for part in parts[1:3]:
            if _length(part) != shape[axis]:
                vm.refuse(
                    "a quantizer without one scale and zero point a channel",
                    f"{shape[axis]!r} of each", TensorBoundsError,
                )  # fmt: skip
    else:
        vm.refuse(f"a quantizer of an unknown form {name!r}", "per tensor or per channel")


def _length(node: Node) -> int:
    if type(node) is TensorNode and len(node.shape) == 1:
        return node.shape[0]
    return len(node.items) if type(node) is SeqNode else -1
