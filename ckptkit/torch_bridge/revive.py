"""Nodes into live values with torch tensors in them: the way back of ``capture``."""

from __future__ import annotations

from typing import Any

import torch

from ckptkit.errors import TensorBoundsError
from ckptkit.nodes import Atom, Node, Record, SeqNode, TensorNode
from ckptkit.torch_bridge.revived_memory import RevivedMemory, torch_dtype
from ckptkit.tree import to_python
from ckptkit.tree.numpy_atoms import parse_numpy_dtype

_SPARSE = "_rebuild_sparse_tensor"
_PARAMETERS = ("_rebuild_parameter", "_rebuild_parameter_with_state")


def revive(node: Node, *, share: bool = True) -> Any:
    """Return ``node`` as live Python values on the CPU, its tensors read from the checkpoint.

    Tensors of one storage share memory as they did (``share``), so that ties are tied again;
    parameters are ``nn.Parameter``, arrays are numpy's. Sparse and quantized tensors are made by
    torch's own constructors, which check their indices. What only a foreign class could make
    stays the Record that it is.
    Raises: ContainerError for bytes that cannot be read; UnrepresentableError for a dtype that
    this torch does not have, and as ``tree.to_python`` does.
    """
    maker = _Reviver(RevivedMemory(node, share=share))
    return to_python(node, tensor=maker.tensor, record=maker.record)


class _Reviver:
    def __init__(self, memory: RevivedMemory) -> None:
        self._memory = memory

    def tensor(self, node: TensorNode) -> Any:
        """Make one tensor, parameter or array."""
        quantizer = None if node.extra is None else node.extra.get("quantizer")
        if node.flavour == "meta":
            value = torch.empty_strided(
                node.shape, node.strides, dtype=torch_dtype(node), device="meta"
            )
        elif isinstance(quantizer, SeqNode):
            value = self._quantized(node, quantizer)
        else:
            value = self._memory.view(node)
        if node.flavour == "ndarray":
            return _array(value, node)
        if node.flavour == "parameter":
            return torch.nn.Parameter(value, requires_grad=node.requires_grad)
        return value.requires_grad_() if node.requires_grad else value

    def record(self, node: Record) -> Any:
        """Make a sparse tensor, or a parameter around one; any other record stays."""
        if node.name.module != "torch._utils" or node.how != "call":
            return node
        if node.name.qualname == _SPARSE and len(node.args) == 2:
            return self._sparse(node)
        if node.name.qualname in _PARAMETERS and isinstance(node.args[0], Record):
            data = self.record(node.args[0])
            if isinstance(data, torch.Tensor):
                return torch.nn.Parameter(data, requires_grad=node.args[1] is True)
        return node

    def _sparse(self, node: Record) -> Any:
        layout, parts = node.args
        if type(layout) is not Atom or type(parts) is not SeqNode:
            return node
        live = [self._part(part) for part in parts.items]
        try:
            return _assembled(layout.args[0], live)
        except (RuntimeError, TypeError, ValueError, AttributeError, IndexError) as exc:
            raise TensorBoundsError(
                "a sparse tensor", f"its parts contradict each other ({exc!s:.160})"
            ) from exc

    def _part(self, part: Node) -> Any:
        return self.tensor(part) if type(part) is TensorNode else to_python(part)

    def _quantized(self, node: TensorNode, quantizer: SeqNode) -> Any:
        """``(scheme, scale, zero point)`` or ``(scheme, scales, zero points, axis)``.

        torch wants the empty tensor first and has its memory filled.
        """
        parts = [self._part(part) for part in quantizer.items]
        if len(parts) == 3:
            made = torch._empty_affine_quantized(  # noqa: SLF001
                node.shape, scale=parts[1], zero_point=parts[2], dtype=torch_dtype(node)
            )
        else:
            made = torch._empty_per_channel_affine_quantized(  # noqa: SLF001
                node.shape, scales=parts[1], zero_points=parts[2], axis=parts[3],
                dtype=torch_dtype(node),
            )  # fmt: skip
        self._memory.read_into(node, made)
        return made


def _array(value: Any, node: TensorNode) -> Any:
    """Make a numpy array; one whose dtype torch lacks is uint8 with an axis of one item's bytes."""
    array = value.resolve_conj().resolve_neg().numpy()
    if node.numpy_dtype:
        dtype = parse_numpy_dtype(node.numpy_dtype)
        if not dtype.itemsize:
            return type(array)(node.shape[:-1], dtype)
        return _contiguous(array).view(dtype).reshape(node.shape[:-1])
    text = None if node.extra is None else node.extra.get("numpy_dtype")
    return array if text is None else array.astype(parse_numpy_dtype(text))


def _contiguous(array: Any) -> Any:
    return array if array.flags.c_contiguous else array.copy()


def _assembled(layout: str, live: list[Any]) -> Any:
    if layout == "sparse_coo":
        coalesced = live[3] if len(live) == 4 and isinstance(live[3], bool) else None
        return torch.sparse_coo_tensor(
            live[0], live[1], live[2], check_invariants=True, is_coalesced=coalesced
        )
    return torch.sparse_compressed_tensor(
        live[0], live[1], live[2], live[3],
        layout=getattr(torch, layout), check_invariants=True,
    )  # fmt: skip
