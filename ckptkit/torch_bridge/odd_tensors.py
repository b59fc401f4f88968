"""Tensors that are more than one strided view: sparse, quantized, and those that are refused."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NoReturn

import torch

from ckptkit.errors import UnrepresentableError
from ckptkit.nodes import Atom, GlobalName, IndexRule, MapNode, Node, Record, SeqNode, TensorNode

ToNode = Callable[[Any], Node]
SPARSE = GlobalName("torch._utils", "_rebuild_sparse_tensor")
PARAMETER = GlobalName("torch._utils", "_rebuild_parameter")
_COMPRESSED = {
    torch.sparse_csr: ("crow_indices", "col_indices", 0),
    torch.sparse_csc: ("ccol_indices", "row_indices", 1),
    torch.sparse_bsr: ("crow_indices", "col_indices", 0),
    torch.sparse_bsc: ("ccol_indices", "row_indices", 1),
}
_GATHER = (
    "gather the whole state first, for example with"
    " torch.distributed.checkpoint.state_dict.get_model_state_dict(...,"
    " options=StateDictOptions(full_state_dict=True))"
)


def refused(seen: str, advice: str) -> UnrepresentableError:
    """The refusal of one tensor; whoever knows its place puts it in."""
    return UnrepresentableError("", seen, "a whole tensor as data", advice)


def refuse_odd(value: torch.Tensor) -> None:
    """Refuse a class of tensors that has no whole strided memory here; let a parameter's pass.

    Raises: UnrepresentableError.
    """
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if torch.nn.parameter.is_lazy(value):
        raise refused(
            "a parameter of a lazy module that has no shape yet",
            "run one forward pass before saving, so that it gets its memory",
        )
    if hasattr(value, "device_mesh") or "Shard" in kind.__name__:
        raise refused(f"a {name}: one shard of a tensor", _GATHER)
    is_own = kind.__torch_dispatch__ is torch.Tensor.__torch_dispatch__
    if not (is_own and isinstance(value, torch.nn.Parameter)):
        _refuse_class(name)


def _refuse_class(name: str) -> NoReturn:
    raise refused(
        f"a tensor of the class {name}, which only that class can rebuild",
        "store plain tensors: .as_subclass(torch.Tensor), .to_dense() or the parts it is made of",
    )


def quantizer_of(value: torch.Tensor, to_node: ToNode) -> Node:
    """What turns the integers into numbers, in the form of ``torch._utils._rebuild_qtensor``."""
    scheme = value.qscheme()
    word = str(scheme).removeprefix("torch.")
    if value.dtype in (torch.quint4x2, torch.quint2x4):
        raise refused(f"a packed quantized tensor ({value.dtype})", "save its .int_repr() instead")
    parts: list[Node] = [Atom("torch.qscheme", (word,))]
    if scheme in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        parts += [value.q_scale(), value.q_zero_point()]
    else:
        scales, points = value.q_per_channel_scales(), value.q_per_channel_zero_points()
        parts += [to_node(scales), to_node(points), value.q_per_channel_axis()]
    return SeqNode(parts, "tuple")


def sparse_record(value: torch.Tensor, to_node: ToNode) -> Node:
    """A sparse tensor as the record that ``torch.save`` makes of it, its parts being nodes.

    Raises: UnrepresentableError for any other layout.
    """
    value_of = value.detach()
    if value.layout is torch.sparse_coo:
        parts = _coo_parts(value_of, to_node)
    elif value.layout in _COMPRESSED:
        parts = _compressed_parts(value_of, to_node)
    else:
        what = "a nested tensor" if value.is_nested else f"a tensor of layout {value.layout}"
        raise refused(what, "store plain tensors, for example by .to_dense() or .unbind()")
    layout = Atom("torch.layout", (str(value.layout).removeprefix("torch."),))
    record = Record(SPARSE, "call", (layout, SeqNode(parts, "tuple")))
    if isinstance(value, torch.nn.Parameter):
        hooks = MapNode(kind=OrderedDict.__name__)
        return Record(PARAMETER, "call", (record, value.requires_grad, hooks))
    return record


def _coo_parts(value: torch.Tensor, to_node: ToNode) -> list[Node]:
    limits = tuple(value.shape[: value.sparse_dim()])
    return [
        _ruled(value._indices(), "coo", limits, to_node),  # noqa: SLF001 - of any, coalesced or not
        to_node(value._values()),  # noqa: SLF001
        _size(value),
        value.is_coalesced(),
    ]


def _compressed_parts(value: torch.Tensor, to_node: ToNode) -> list[Node]:
    compressed_name, plain_name, columns_axis = _COMPRESSED[value.layout]
    compressed, plain = getattr(value, compressed_name)(), getattr(value, plain_name)()
    values, n_batch = value.values(), compressed.dim() - 1
    blocked = value.layout in (torch.sparse_bsr, torch.sparse_bsc)
    block = values.shape[n_batch + 1 : n_batch + 3] if blocked else (1, 1)
    counts = [value.shape[n_batch + axis] // block[axis] for axis in (0, 1)]
    n_plain = counts[1 - columns_axis]
    return [
        _ruled(compressed, "compressed", (plain.shape[-1], n_plain), to_node),
        _ruled(plain, "plain", (n_plain,), to_node),
        to_node(values),
        _size(value),
    ]


def _ruled(indices: torch.Tensor, kind: str, limits: tuple[int, ...], to_node: ToNode) -> Node:
    node = to_node(indices)
    if type(node) is TensorNode:
        node.rule = IndexRule(kind, limits)
    return node


def _size(value: torch.Tensor) -> Node:
    return SeqNode(list(value.shape), "torch.Size")
