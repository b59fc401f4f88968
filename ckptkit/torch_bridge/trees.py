"""Plain data filled in place: dicts updated, lists replaced, tensors written where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ckptkit.nodes import MapNode, Node, SeqNode, TensorNode
from ckptkit.torch_bridge.revive import revive
from ckptkit.torch_bridge.values import Fill
from ckptkit.tree import path_text, to_python


def is_array(value: Any) -> bool:
    """Say whether a value is a tensor, or a numpy array whose memory torch can share."""
    return isinstance(value, torch.Tensor) or _is_numpy(value)


class TreeFill:
    """One live tree and the node that fills it. Making it changes nothing.

    ``extra`` are places that only the live tree has: they stay. ``faults`` are sentences, and so
    are ``notes``.
    """

    def __init__(self, live: Any, node: Node) -> None:
        self._live, self._node = live, node
        self._targets: dict[int, torch.Tensor] = {}
        self._sources: dict[int, Any] = {}
        self._value: Any = None
        self.extra: list[str] = []
        self.faults: list[str] = []
        self.notes: list[str] = []
        self._nodes: dict[int, TensorNode] = {}
        self._check_root()
        if not self.faults:
            self._pair()
            self._part_shared()

    def prepare(self, where: str) -> Sequence[Fill]:
        """Revive all that is no tensor of the live tree, and name what fills those that are."""
        fills: dict[int, Fill] = {}

        def tensor(node: TensorNode) -> Any:
            target = self._targets.get(id(node))
            if target is None:
                return revive(node)
            fills[id(node)] = Fill(target, node, where)
            return self._sources[id(node)]

        self._value = to_python(self._node, tensor=tensor, record=revive)
        return list(fills.values())

    def finish(self) -> None:
        """Bring the revived values into the live tree."""
        if isinstance(self._live, dict):
            _update(self._live, self._value)
        elif isinstance(self._live, list):
            self._live[:] = self._value

    def _check_root(self) -> None:
        live, node = self._live, self._node
        if is_array(live):
            if not isinstance(node, TensorNode):
                self.faults.append("the checkpoint has no tensor for this tensor")
            elif not _fits(live, node):
                told = f"{node.dtype.name} {list(node.shape)}"
                mine = f"{str(live.dtype).removeprefix('torch.')} {list(live.shape)}"
                self.faults.append(f"{told} in the checkpoint, {mine} here")
        elif isinstance(live, dict) != isinstance(node, MapNode):
            self.faults.append(f"a {type(live).__name__} here, {_word(node)} in the checkpoint")
        elif isinstance(live, list) and not (isinstance(node, SeqNode) and node.kind == "list"):
            self.faults.append(f"a list here, {_word(node)} in the checkpoint")

    def _pair(self) -> None:
        """Walk both trees side by side: which stored tensor fills which live one."""
        seen: set[tuple[int, int]] = set()
        stack: list[tuple[tuple[Any, ...], Any, Node]] = [((), self._live, self._node)]
        while stack:
            path, live, node = stack.pop()
            if (id(live), id(node)) in seen:
                continue
            seen.add((id(live), id(node)))
            if isinstance(live, dict) and isinstance(node, MapNode):
                self.extra += [path_text((*path, key)) for key in live if not _has(node, key)]
                rows = [((*path, k), v, node.get(k)) for k, v in live.items() if _has(node, k)]
                stack += reversed(rows)
            elif isinstance(live, list) and isinstance(node, SeqNode):
                pairs = zip(live, node.items, strict=False)
                stack += reversed([((*path, i), v, n) for i, (v, n) in enumerate(pairs)])
            elif isinstance(node, TensorNode) and is_array(live) and _fits(live, node):
                self._targets.setdefault(id(node), _as_tensor(live))
                self._sources.setdefault(id(node), live)
                self._nodes[id(node)] = node

    def _part_shared(self) -> None:
        """Give tensors that share memory here, but not in the checkpoint, new memory each.

        Filled where they lie, the last one written would be the value of all of them.
        """
        apart: set[int] = set()
        rows = sorted((*extent_of(live), key) for key, live in self._targets.items())
        end = (rows[0][0], -1, -1) if rows else ("", -1, -1)  # device, furthest byte, whose
        for device, start, stop, key in rows:
            overlaps = device == end[0] and start < end[1]
            if overlaps and self._nodes[key].same_view() != self._nodes[end[2]].same_view():
                apart |= {key, end[2]}
            if device != end[0] or stop > end[1]:
                end = (device, stop, key)
        for key in apart:
            del self._targets[key], self._sources[key]
        if apart:
            self.notes.append(
                f"{len(apart)} tensors share memory here and not in the checkpoint: they became "
                "tensors of their own"
            )


def extent_of(live: torch.Tensor) -> tuple[str, int, int]:
    """Return the device of a tensor, its first byte, and the byte behind its last one."""
    last = sum((n - 1) * stride for n, stride in zip(live.shape, live.stride(), strict=True))
    start = live.data_ptr()
    nbytes = (last + 1) * live.element_size() if live.numel() else 0
    return str(live.device), start, start + nbytes


def _word(node: Node) -> str:
    if node is None:
        return "nothing"
    return f"a {node.kind}" if isinstance(node, (MapNode, SeqNode)) else f"a {type(node).__name__}"


def _has(node: MapNode, key: Any) -> bool:
    scalar = key is None or isinstance(key, (bool, int, float, str, bytes))
    return scalar and key in node


def _is_numpy(value: Any) -> bool:
    kind = type(value)
    return kind.__module__ == "numpy" and kind.__name__ == "ndarray"


def _as_tensor(live: Any) -> torch.Tensor:
    return live if isinstance(live, torch.Tensor) else torch.from_numpy(live)


def _fits(live: Any, node: TensorNode) -> bool:
    """Say whether the bytes of ``node`` can lie in the memory of ``live`` as they are."""
    if _is_numpy(live):
        plain = node.flavour == "ndarray" and not node.numpy_dtype and live.flags.writeable
        same = str(live.dtype) == node.dtype.name and live.dtype.isnative
        return bool(
            plain and same and live.shape == node.shape and min(live.strides, default=0) >= 0
        )
    return bool(
        node.flavour in ("tensor", "parameter")
        and isinstance(live, torch.Tensor)
        and live.layout is torch.strided
        and not live.is_meta
        and not live.is_quantized
        and tuple(live.shape) == node.shape
        and str(live.dtype).removeprefix("torch.") == node.dtype.name
        and (0 not in live.stride() or live.numel() < 2)
    )


def _update(live: dict[Any, Any], value: dict[Any, Any]) -> None:
    for key, new in value.items():
        old = live.get(key)
        if old is not new and isinstance(old, dict) and isinstance(new, dict):
            _update(old, new)
        elif old is not new and type(old) is list and type(new) is list:
            old[:] = new
        else:
            live[key] = new
