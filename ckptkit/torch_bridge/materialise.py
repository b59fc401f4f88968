"""Give tensors of a meta-device model real memory, ties kept, and the objects the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch


def materialise(
    module: torch.nn.Module, tensors: Iterable[torch.Tensor], device: Any = None
) -> dict[int, torch.Tensor]:
    """Replace the given meta tensors of ``module`` by empty ones with memory on ``device``.

    Every tensor stays the Python object that it is (an optimizer goes on holding it), unless
    somebody has a weak reference to it; then a new object takes its place wherever the module
    has it. Returns id of what was given -> what is there now.
    """
    made: dict[int, torch.Tensor] = {}
    for tensor in tensors:
        if tensor.is_meta and id(tensor) not in made:
            made[id(tensor)] = _with_memory(tensor, torch.device(device or "cpu"))
    moved = {key: new for key, new in made.items() if id(new) != key}
    for part in module.modules() if moved else ():
        drawers: tuple[dict[str, Any], ...] = (part._parameters, part._buffers)  # noqa: SLF001
        for drawer in drawers:
            for name, value in drawer.items():
                if value is not None and id(value) in moved:
                    drawer[name] = moved[id(value)]
    return made


def _with_memory(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    fresh = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
    if isinstance(tensor, torch.nn.Parameter):
        fresh = torch.nn.Parameter(fresh, requires_grad=tensor.requires_grad)
    else:
        fresh.requires_grad_(tensor.requires_grad)
    fresh.__dict__.update(tensor.__dict__)
    try:
        fresh.__class__ = type(tensor)
        torch.utils.swap_tensors(tensor, fresh)  # type: ignore[no-untyped-call]
    except (RuntimeError, TypeError):  # a weak reference, or a class that cannot be swapped
        return fresh
    return tensor


def zero(tensor: torch.Tensor) -> None:
    """Set a tensor to zero, as a freshly made counter is."""
    with torch.no_grad():
        tensor.zero_()
