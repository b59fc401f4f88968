"""Live tensors as nodes: nothing is copied, and what shares memory is seen to share it."""

from __future__ import annotations

from typing import Any

import torch

from ckptkit.nodes import MapNode, Node, Storage, TensorNode
from ckptkit.torch_bridge.arrays import LiveArrays
from ckptkit.torch_bridge.live_bytes import CpuBytes, DeviceBytes
from ckptkit.torch_bridge.odd_tensors import quantizer_of, refuse_odd, refused, sparse_record
from ckptkit.types import DTYPES, DType, contiguous_strides

_DTYPES: dict[torch.dtype, DType] = {
    getattr(torch, name): dtype for name, dtype in DTYPES.items() if hasattr(torch, name)
}
_PLAIN = (torch.Tensor, torch.nn.Parameter)


class LiveMemory:
    """The storages that were met so far. One for a whole state, so that ties across it are seen."""

    def __init__(self) -> None:
        self._storages: dict[int, Storage] = {}
        self._devices: dict[torch.device, str] = {}
        self._arrays = LiveArrays()

    def node(self, value: Any) -> Node:
        """Return the node of a torch tensor or numpy array; it reads the live memory when asked.

        Raises: UnrepresentableError (without a place) for what is not whole here: shards, lazy
        parameters, classes of others.
        """
        if not isinstance(value, torch.Tensor):
            return self._arrays.node(value)
        if type(value) not in _PLAIN:
            refuse_odd(value)
        if value.layout is not torch.strided or value.is_nested:
            return sparse_record(value, self.node)
        dtype = _DTYPES.get(value.dtype)
        if dtype is None:
            raise refused(f"a tensor of dtype {value.dtype}", "convert it with .to()")
        node = self._meta(value, dtype) if value.is_meta else self._strided(value, dtype)
        if value.is_quantized:
            node.extra = MapNode({"quantizer": quantizer_of(value, self.node)})
        return node

    def _strided(self, value: torch.Tensor, dtype: DType) -> TensorNode:
        shape, storage = tuple(value.shape), self._storage(value)
        contiguous = value.is_contiguous()
        node = TensorNode(
            dtype=dtype,
            shape=shape,
            strides=contiguous_strides(shape) if contiguous else value.stride(),
            offset=int(value.storage_offset()),
            storage=storage,
            flavour="parameter" if isinstance(value, torch.nn.Parameter) else "tensor",
            requires_grad=value.requires_grad,
        )
        if value.is_conj():
            node.conj = True
        if value.is_neg():
            node.neg = True
        if not contiguous or node.offset * dtype.nbytes + node.nbytes > storage.nbytes:
            _check_extent(node)
        return node

    def _storage(self, value: torch.Tensor) -> Storage:
        live = value.untyped_storage()
        key = live._cdata  # noqa: SLF001 - the one identity that a storage has
        found = self._storages.get(key)
        if found is None:
            device = value.device
            nbytes = live.nbytes()
            source = CpuBytes if device.type == "cpu" else DeviceBytes
            name = self._devices.get(device)
            if name is None:
                name = self._devices[device] = str(device)
                _settle(device)
            found = Storage(name, nbytes, source(live, nbytes), name)
            self._storages[key] = found
        return found

    def _meta(self, value: torch.Tensor, dtype: DType) -> TensorNode:
        return TensorNode(
            dtype=dtype,
            shape=tuple(value.shape),
            strides=value.stride(),
            offset=0,
            storage=Storage("", 0, None, "meta"),
            flavour="meta",
            requires_grad=value.requires_grad,
        )


def _settle(device: torch.device) -> None:
    """Wait for what an accelerator still has to do: other threads will read on other streams."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _check_extent(node: TensorNode) -> None:
    """Refuse a tensor whose memory was given back while it lives, as sharding wrappers do."""
    item = node.dtype.nbytes
    start, total = node.offset * item, node.storage.nbytes
    if 0 in node.shape:
        return
    last = sum((n - 1) * step for n, step in zip(node.shape, node.strides, strict=True))
    if start + (last + 1) * item > total:
        raise refused(
            f"a tensor whose memory was freed ({total} bytes are left of its storage)",
            "gather it before saving",
        )
