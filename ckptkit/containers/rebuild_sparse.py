"""Sparse, nested, wrapped and foreign-device tensors: labelled records of checked parts."""

from __future__ import annotations

from ckptkit.containers.pickle_machine import Machine
from ckptkit.containers.rebuild_tensor import copy_of, dtype_of, put_extra, sizes_of
from ckptkit.errors import TensorBoundsError
from ckptkit.nodes import Atom, GlobalName, IndexRule, Node, Record, SeqNode, TensorNode

SPARSE = GlobalName("torch._utils", "_rebuild_sparse_tensor")
_INDEX_DTYPES = frozenset({"int64", "int32"})


def rebuild_sparse(vm: Machine, args: list[Node]) -> Node:
    """``_rebuild_sparse_tensor(layout, parts)`` of all five layouts.

    Raises: TensorBoundsError when the shapes of the parts contradict each other. What the
    index tensors hold is checked by their rule when their bytes are read.
    """
    if len(args) != 2 or type(args[1]) is not SeqNode:
        vm.refuse("a sparse tensor of an unknown form", "(layout, parts)")
    layout, parts = args[0], args[1].items
    if vm.persistent is None and any(isinstance(part, Record) for part in parts):
        return NotImplemented  # nobody resolved the storages, so there are no tensors to check
    name = layout.args[0] if type(layout) is Atom and layout.kind == "torch.layout" else ""
    if name == "sparse_coo" and len(parts) in (3, 4):
        parts = _coo(vm, parts)
    elif name in ("sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc") and len(parts) == 4:
        parts = _compressed(vm, name, parts)
    else:
        vm.refuse(f"a sparse tensor of layout {name!r} with {len(parts)} parts")
    return Record(SPARSE, "call", (layout, SeqNode(parts, args[1].kind)))


def _tensor(vm: Machine, node: Node, what: str, *, index: bool) -> TensorNode:
    if type(node) is not TensorNode:
        vm.refuse(f"a sparse tensor whose {what} are a {type(node).__name__}", "a tensor")
    if index and node.dtype.name not in _INDEX_DTYPES:
        vm.refuse(f"sparse {what} of dtype {node.dtype.name}", "int32 or int64")
    return node


def _ruled(node: TensorNode, rule: IndexRule) -> TensorNode:
    """The index tensor under its rule; a copy if it stands under another one already."""
    if node.rule is not None and node.rule != rule:
        node = copy_of(node)
    node.rule = rule
    return node


def _sizes(vm: Machine, node: Node) -> list[int]:
    sizes = sizes_of(vm, node)
    for size in sizes:
        if type(size) is not int or not 0 <= size < 1 << 63:
            vm.refuse("a sparse tensor of an impossible size", kind=TensorBoundsError)
    return sizes


def _coo(vm: Machine, parts: list[Node]) -> list[Node]:
    indices = _tensor(vm, parts[0], "indices", index=True)
    values = _tensor(vm, parts[1], "values", index=False)
    size = _sizes(vm, parts[2])
    n_sparse = indices.shape[0] if len(indices.shape) == 2 else -1
    if not 0 <= n_sparse <= len(size) or not values.shape:
        vm.refuse("sparse indices of a shape that does not fit", kind=TensorBoundsError)
    if values.shape != (indices.shape[1], *size[n_sparse:]):
        vm.refuse("sparse values of a shape that does not fit", kind=TensorBoundsError)
    return [_ruled(indices, IndexRule("coo", tuple(size[:n_sparse]))), *parts[1:]]


def _compressed(vm: Machine, layout: str, parts: list[Node]) -> list[Node]:
    compressed = _tensor(vm, parts[0], "compressed indices", index=True)
    plain = _tensor(vm, parts[1], "plain indices", index=True)
    values, size = _tensor(vm, parts[2], "values", index=False), _sizes(vm, parts[3])
    n_batch, blocked = len(compressed.shape) - 1, layout.startswith("sparse_bs")
    if n_batch < 0 or len(plain.shape) != n_batch + 1 or len(size) < n_batch + 2:
        vm.refuse("sparse indices of a shape that does not fit", kind=TensorBoundsError)
    nnz = plain.shape[-1]
    block = list(values.shape[n_batch + 1 : n_batch + 3]) if blocked else [1, 1]
    if (
        len(block) != 2
        or 0 in block
        or any(s % b for s, b in zip(size[n_batch:], block, strict=False))
    ):
        vm.refuse("sparse blocks that do not divide the tensor", kind=TensorBoundsError)
    rows, columns = (size[n_batch] // block[0], size[n_batch + 1] // block[1])
    if layout in ("sparse_csc", "sparse_bsc"):
        rows, columns = columns, rows
    batch, inner = tuple(size[:n_batch]), (tuple(block) if blocked else ())
    expected = (*batch, nnz, *inner, *size[n_batch + 2 :])
    if (
        compressed.shape != (*batch, rows + 1)
        or plain.shape[:-1] != batch
        or values.shape != expected
    ):
        vm.refuse("sparse parts whose shapes contradict each other", kind=TensorBoundsError)
    return [
        _ruled(compressed, IndexRule("compressed", (nnz, columns))),
        _ruled(plain, IndexRule("plain", (columns,))),
        *parts[2:],
    ]


def rebuild_from_type(vm: Machine, args: list[Node]) -> Node:
    """``torch._tensor._rebuild_from_type_v2(func, type, args, state)``: a subclass, or attributes.

    A plain Tensor or Parameter with Python attributes is a tensor with ``extra["state"]``; of
    another class it is a Record whose third argument is the rebuilt tensor.
    """
    if len(args) != 4 or type(args[0]) is not GlobalName or type(args[2]) is not SeqNode:
        return NotImplemented
    func, cls, inner, state = args
    use = vm.tracer.by_id.get(id(func)) or vm.tracer.meet(func.module, func.qualname, vm.at)
    use.calls += 1
    if use.call is None or func.module != "torch._utils":
        return NotImplemented
    tensor = use.call(vm, inner.items)
    if tensor is NotImplemented:
        return NotImplemented
    plain = isinstance(cls, GlobalName) and cls.qualname in ("Tensor", "Parameter")
    if plain and type(tensor) is TensorNode and cls.module in ("torch", "torch.nn.parameter"):
        put_extra(tensor, "state", state)
        if cls.qualname == "Parameter":
            tensor.flavour = "parameter"
        return tensor
    return Record(FROM_TYPE, "call", (func, cls, tensor, state))


FROM_TYPE = GlobalName("torch._tensor", "_rebuild_from_type_v2")


def rebuild_on_device(vm: Machine, args: list[Node]) -> Node:
    """``_rebuild_device_tensor_from_numpy`` and its siblings: ``(data, dtype, device, grad)``.

    Where the dtype asks for a cast the parts stay a label: ckptkit changes no value.
    """
    if len(args) != 4:
        vm.refuse(f"a device tensor with {len(args)} arguments", "4")
    data, dtype = args[0], dtype_of(args[1])
    if type(data) is not TensorNode or dtype != data.dtype or data.numpy_dtype:
        return NotImplemented
    tensor = copy_of(data)
    tensor.flavour, tensor.requires_grad = "tensor", args[3] is True
    put_extra(tensor, "device", args[2])
    return tensor
